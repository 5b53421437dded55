/**
 * What an error in the model's answer comes to at the end of a run: normal noise of a small deviation is
 * added to one answer of a run in FP32, or to all, or a constant of that size to all, and the change of the
 * final sample is divided by that deviation. Prints a Markdown table; geometric means over runs.
 *
 *   node scripts/results/error-growth.ts --out FOLDER [--runs 4]
 */
import { parseArgs } from 'node:util';
import { ImageNoise } from '../../src/pipelines/latents.ts';
import { loadModel } from '../../src/pipelines/load.ts';
import {
  type Predict,
  type Subject,
  type SubjectPlan,
  subjectOf,
} from '../../src/pipelines/sensitivity-subject.ts';
import {
  createScheduler,
  type Scheduler,
  type SchedulerJson,
  type SchedulerName,
} from '../../src/schedulers/index.ts';
import { type ModelName, modelPath, PROMPTS } from './rows.ts';

interface Case {
  readonly title: string;
  readonly model: ModelName;
  readonly scheduler: SchedulerName;
  readonly steps: number;
  readonly config?: SchedulerJson;
}

const CASES: readonly Case[] = [
  { title: 'DDIM, 50 steps', model: 'emoji', scheduler: 'ddim', steps: 50 },
  { title: 'DDIM, 20 steps', model: 'emoji', scheduler: 'ddim', steps: 20 },
  { title: 'PNDM, 50 steps', model: 'emoji', scheduler: 'pndm', steps: 50 },
  {
    ...{ title: 'PNDM without Runge–Kutta, 50 steps', model: 'emoji', scheduler: 'pndm' },
    ...{ steps: 50, config: { skip_prk_steps: true } },
  },
  { title: 'PNDM, 200 steps', model: 'emoji', scheduler: 'pndm', steps: 200 },
  { title: 'DPM++ 2M, 50 steps', model: 'emoji', scheduler: 'dpmpp-2m', steps: 50 },
  { title: 'pixel space, DDIM, 50 steps', model: 'pixel', scheduler: 'ddim', steps: 50 },
  { title: 'pixel space, DDPM, 50 steps', model: 'pixel', scheduler: 'ddpm', steps: 50 },
];

/**
 * Half of it gives the same growth, but for the smallest (below 0.02 in latent models): there FP32's own
 * roundings are part of the change.
 */
const DEVIATION = 1e-3;

interface Disturbance {
  readonly title: string;
  readonly at: (evaluation: number, evaluations: number) => boolean;
  /** The same for all values and answers, in place of noise. */
  readonly isConstant?: boolean;
}

const DISTURBANCES: readonly Disturbance[] = [
  { title: 'first', at: (i) => i === 0 },
  { title: 'a quarter', at: (i, count) => i === Math.round(count / 4) },
  { title: 'half', at: (i, count) => i === Math.round(count / 2) },
  { title: 'three quarters', at: (i, count) => i === Math.round((3 * count) / 4) },
  ...[5, 4, 3, 2].map((n) => ({
    title: `last but ${n - 1}`,
    at: (i: number, count: number) => i === count - n,
  })),
  { title: 'last', at: (i, count) => i === count - 1 },
  { title: 'all', at: () => true },
  { title: 'all, constant', at: () => true, isConstant: true },
];

/** The final sample of a run whose answers are disturbed; noise beside the sampler's own. */
async function finalSample(
  { subject, scheduler, steps, predict, seed }: Runs,
  disturbance?: Disturbance,
): Promise<Float32Array> {
  const noise = new ImageNoise([seed], subject.shape);
  const errors = new ImageNoise([seed + 1], subject.shape);
  const run = scheduler.plan(steps);
  const count = run.timesteps.length;
  let sample: Float32Array = noise.draw().map((value) => run.initNoiseSigma * value);
  for (let i = 0; i < count; i++) {
    const answer = await predict(run.scaleModelInput(sample, i), i);
    const disturbed = disturbance?.at(i, count) ? withError(answer, disturbance, errors) : answer;
    sample = run.step(disturbed, i, sample, noise.draw);
  }
  return sample;
}

function withError(answer: Float32Array, { isConstant }: Disturbance, errors: ImageNoise) {
  if (isConstant) return answer.map((value) => value + DEVIATION);
  const error = errors.draw();
  return answer.map((value, i) => value + DEVIATION * error[i]);
}

interface Runs {
  readonly subject: Subject;
  readonly scheduler: Scheduler;
  readonly steps: number;
  readonly predict: Predict;
  readonly seed: number;
}

/** Of each disturbance, the growth in one run. */
async function growths(runs: Runs): Promise<number[]> {
  const undisturbed = await finalSample(runs);
  const found: number[] = [];
  for (const disturbance of DISTURBANCES) {
    const sample = await finalSample(runs, disturbance);
    const squares = sample.reduce((sum, value, i) => sum + (value - undisturbed[i]) ** 2, 0);
    found.push(Math.sqrt(squares / sample.length) / DEVIATION);
  }
  return found;
}

async function measure(one: Case, folder: string, count: number): Promise<number[]> {
  const loaded = await loadModel(modelPath(folder, one.model), { precision: 'fp32' });
  try {
    const subject = subjectOf(loaded.model, { guidanceScale: 3 });
    const scheduler = createScheduler(one.scheduler, { ...subject.schedulerConfig, ...one.config });
    const { timesteps } = scheduler.plan(one.steps);
    const plan: SubjectPlan = { timesteps, schedule: timesteps.map(() => 'fp32') };
    const logarithms = DISTURBANCES.map(() => 0);
    for (let seed = 0; seed < count; seed++) {
      // Far from each other in the list, which puts like pictures side by side.
      const prompt = PROMPTS[Math.floor((seed * PROMPTS.length) / count)];
      const found = await subject.use(plan, prompt, (predict) =>
        growths({ subject, scheduler, steps: one.steps, predict, seed: 1000 * seed }),
      );
      for (const [i, growth] of found.entries()) logarithms[i] += Math.log(growth) / count;
    }
    return logarithms.map(Math.exp);
  } finally {
    await loaded.dispose();
  }
}

const { values } = parseArgs({
  options: { out: { type: 'string' }, runs: { type: 'string', default: '4' } },
});
if (!values.out) {
  console.error('Name the working folder: --out FOLDER.');
  process.exit(2);
}
console.log(`|  | ${DISTURBANCES.map(({ title }) => title).join(' | ')} |`);
console.log(`| --- | ${DISTURBANCES.map(() => '--:').join(' | ')} |`);
for (const one of CASES) {
  const found = await measure(one, values.out, Number(values.runs));
  console.log(`| ${one.title} | ${found.map((growth) => growth.toPrecision(2)).join(' | ')} |`);
}
