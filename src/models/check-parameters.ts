import { BookendError } from '../core/errors.ts';
import { formatShape, sameShape } from '../core/shape.ts';
import type { WeightSource } from '../runtime/backend.ts';
import type { ParameterShapes } from './parameters.ts';

export interface CheckParametersOptions {
  /** For the message: the file or folder, and the architecture it should hold. */
  readonly origin: string;
  readonly model: string;
}

/** Buffers and heads that some exports include and that Stable Diffusion does not read. */
const IGNORED = [/(^|\.)position_ids$/, /^text_projection\.weight$/, /^logit_scale$/];

/** How many tensors of each kind the message names. */
const LISTED = 3;

/**
 * Checks that a checkpoint holds exactly the parameters of a model, before anything is read.
 *
 * @throws BookendError `missing-tensor` when tensors are missing, otherwise `invalid-checkpoint`;
 *   one message lists the first missing, mis-shaped and unexpected tensors
 */
export function checkParameters(
  expected: ParameterShapes,
  source: WeightSource,
  { origin, model }: CheckParametersOptions,
): void {
  const missing: string[] = [];
  const misshaped: string[] = [];
  for (const [path, shape] of expected) {
    const info = source.info(path);
    if (!info) missing.push(path);
    else if (!sameShape(info.shape, shape)) {
      misshaped.push(`${path} ${formatShape(info.shape)} instead of ${formatShape(shape)}`);
    }
  }
  const unexpected = [...source.names()].filter(
    (path) => !expected.has(path) && !IGNORED.some((pattern) => pattern.test(path)),
  );
  const found = [
    listed('missing', missing),
    listed('of the wrong shape', misshaped),
    listed('unexpected', unexpected),
  ].filter((part) => part !== undefined);
  if (found.length === 0) return;
  throw new BookendError(
    missing.length > 0 ? 'missing-tensor' : 'invalid-checkpoint',
    `${origin} does not fit its configuration as ${model}: ${found.join('; ')}; use the weights that belong to this config.json.`,
  );
}

function listed(what: string, tensors: readonly string[]): string | undefined {
  if (tensors.length === 0) return undefined;
  const first = tensors.slice(0, LISTED).join(', ');
  const more = tensors.length > LISTED ? ` and ${tensors.length - LISTED} more` : '';
  return `${tensors.length} ${tensors.length === 1 ? 'tensor' : 'tensors'} ${what} (${first}${more})`;
}
