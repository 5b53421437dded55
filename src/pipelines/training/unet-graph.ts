import { BookendError } from '../../core/errors.ts';
import type { Graph } from '../../ir/graph.ts';
import { buildUNet2DModel } from '../../models/unet-2d.ts';
import { buildUNet2DConditionModel } from '../../models/unet-2d-condition.ts';
import type { BatchSource } from '../../training/batches.ts';
import type { LoadedModel } from '../load.ts';
import { requirePlainModel } from '../stable-diffusion.ts';

/**
 * A model's U-Net for a whole batch, as it is built.
 *
 * @throws BookendError `unsupported` for models that inpaint or were distilled to know their guidance
 */
export function batchGraph(
  loaded: LoadedModel,
  { sampleShape, textShape }: Pick<BatchSource, 'sampleShape' | 'textShape'>,
  batch: number,
): Graph {
  const [height, width] = sampleShape;
  if (loaded.kind === 'unconditional') {
    return buildUNet2DModel(loaded.model.config, { batch, height, width });
  }
  requirePlainModel(loaded.model);
  const { config } = loaded.model.denoiser;
  if (config.timeConditionWidth !== undefined) {
    throw new BookendError(
      'unsupported',
      `${loaded.model.origin} was distilled to be told its guidance scale, which training does not draw; train the model that it came from.`,
    );
  }
  const tokens = textShape?.[0] ?? loaded.model.textEncoder.tokenizer.maxLength;
  return buildUNet2DConditionModel(config, { batch, height, width, tokens });
}
