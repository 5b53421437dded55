import { assignPrecision } from './assign-precision.ts';
import { commonSubexpressions } from './common-subexpressions.ts';
import { deadCode } from './dead-code.ts';
import { fuseEpilogues } from './fuse-epilogues.ts';
import { fuseGroupNorm } from './fuse-group-norm.ts';
import { fuseSkipConcat } from './fuse-skip-concat.ts';
import { fuseUpsample } from './fuse-upsample.ts';
import type { Pass } from './pass.ts';
import { simplifyViews } from './simplify-views.ts';

export { type Pass, runPasses } from './pass.ts';

/** What a whole graph computes in. */
export type InferencePrecision = 'f32' | 'bf16';

/** The passes that make a model's graph ready for inference, in order. */
export function inferencePasses(precision: InferencePrecision): readonly Pass[] {
  return [
    deadCode,
    commonSubexpressions,
    simplifyViews,
    fuseUpsample,
    fuseSkipConcat,
    fuseGroupNorm,
    fuseEpilogues,
    simplifyViews,
    ...(precision === 'f32' ? [] : [assignPrecision(precision)]),
  ];
}
