import { BookendError } from '../core/errors.ts';
import { countRows } from './feature-extractor.ts';
import { Pauses } from './pauses.ts';

export interface InceptionScore {
  /** Mean over the splits; 1 for images that all look alike, at most the number of classes. */
  readonly score: number;
  /** Standard deviation over the splits, divided by their number. */
  readonly deviation: number;
  readonly splits: number;
}

/**
 * The Inception Score (Salimans et al., arXiv 1606.03498): exp of the mean of KL(p(y|x) ‖ p(y)), for
 * consecutive parts of the images. It looks at no reference, and means little for images unlike those
 * of ImageNet (Barratt and Sharma, arXiv 1801.01973).
 *
 * @param logits [images, classes], before softmax
 * @param splits the paper's 10 by default
 * @throws BookendError `invalid-argument` for fewer images than splits
 */
export async function inceptionScore(
  logits: Float32Array,
  classes: number,
  { splits = 10 }: { readonly splits?: number } = {},
): Promise<InceptionScore> {
  const count = countRows(logits, classes);
  if (!Number.isInteger(splits) || splits < 1 || count < splits) {
    throw new BookendError(
      'invalid-argument',
      `${count} images do not make ${splits} splits; give more images or ask for fewer splits.`,
    );
  }
  const scores: number[] = [];
  for (let split = 0; split < splits; split++) {
    const begin = Math.floor((split * count) / splits);
    const end = Math.floor(((split + 1) * count) / splits);
    scores.push(await scoreOf(logits.subarray(begin * classes, end * classes), classes));
  }
  const score = scores.reduce((sum, value) => sum + value, 0) / splits;
  const squares = scores.reduce((sum, value) => sum + (value - score) ** 2, 0);
  return { score, deviation: Math.sqrt(squares / splits), splits };
}

/** exp(H(y) - mean H(y|x)), which is the same as the mean divergence. */
async function scoreOf(logits: Float32Array, classes: number): Promise<number> {
  const pauses = new Pauses();
  const count = logits.length / classes;
  const marginal = new Float64Array(classes);
  let negativeEntropy = 0;
  for (let i = 0; i < count; i++) {
    const row = logits.subarray(i * classes, (i + 1) * classes);
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) largest = Math.max(largest, row[c]);
    let total = 0;
    for (let c = 0; c < classes; c++) total += Math.exp(row[c] - largest);
    const logTotal = largest + Math.log(total);
    for (let c = 0; c < classes; c++) {
      const logProbability = row[c] - logTotal;
      const probability = Math.exp(logProbability);
      marginal[c] += probability / count;
      negativeEntropy += (probability * logProbability) / count;
    }
    if (pauses.isDue) await pauses.take();
  }
  const ofMarginal = marginal.reduce((sum, p) => (p > 0 ? sum + p * Math.log(p) : sum), 0);
  return Math.exp(negativeEntropy - ofMarginal);
}
