import { openCheckpoint } from '../../io/checkpoint.ts';
import { resolveModel } from '../../io/hub.ts';
import { checkParameters } from '../../models/check-parameters.ts';
import {
  type BatchNormOptions,
  foldBatchNorm,
  unfoldedParameters,
} from '../../models/fold-batch-norm.ts';
import { buildInceptionV3 } from '../../models/inception-v3.ts';
import { graphParameters } from '../../models/parameters.ts';
import type { WeightSource } from '../../runtime/backend.ts';
import { weightsOf } from '../weights.ts';
import {
  InceptionClassifier,
  type InceptionNetwork,
  type InceptionOptions,
} from './inception-extractor.ts';

/** The 2015 network of TensorFlow that Heusel et al. (arXiv 1706.08500) defined FID with. */
const CONFIG = { lastPool: 'max' } as const;
export const FID_CLASSES = 1008;
const NORM: BatchNormOptions = { epsilon: 1e-3, scale: true };

/** Counters of training, and the bias that logits here go without. */
const UNREAD = /(\.num_batches_tracked|^fc\.bias)$/;

/**
 * The extractor of the standard FID: pytorch-fid's weights under the names of its state dict. The
 * published pt_inception-2015-12-05-6726825d.pth is a pickle, whose refusal names the command that
 * makes a safetensors file of it, once. That the file holds those weights and no others is the
 * caller's word: any of these shapes are taken.
 *
 * @param reference a safetensors file, a folder with model.safetensors, or a hub id in the cache
 * @throws BookendError `not-found`, `io`, `unsupported` for a pickle, `missing-tensor` or
 *   `invalid-checkpoint` for another network
 */
export async function loadFidInception(
  reference: string,
  options?: InceptionOptions,
): Promise<InceptionClassifier> {
  const { path } = await resolveModel(reference);
  const source = await openCheckpoint(path);
  try {
    const network = fidNetwork(weightsOf(source), source.origin);
    return new InceptionClassifier(
      { ...network, close: () => source.close() },
      FID_CLASSES,
      options,
    );
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * The network of the standard FID over weights that are there already.
 *
 * @param weights under the names of pytorch-fid's state dict
 * @throws BookendError `missing-tensor`, `invalid-checkpoint`
 */
export function fidNetwork(weights: WeightSource, origin: string): InceptionNetwork {
  const read: WeightSource = {
    ...weights,
    names: () => [...weights.names()].filter((name) => !UNREAD.test(name)),
  };
  const folded = graphParameters(buildInceptionV3({ ...CONFIG, classes: FID_CLASSES }, 1));
  const model = "pytorch-fid's Inception-V3";
  checkParameters(unfoldedParameters(folded, NORM), read, { origin, model });
  return {
    name: 'inception-v3-fid',
    config: CONFIG,
    weights: foldBatchNorm(read, NORM),
    black: -1,
    close: async () => undefined,
  };
}
