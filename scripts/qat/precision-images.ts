import type { LoadOptions } from '../../src/index.ts';
import {
  type DrawnImage,
  drawImageSet,
  type ImageSetPlan,
} from '../../src/pipelines/evaluation/image-set.ts';
import { measureImages } from '../../src/pipelines/evaluation/measure-images.ts';
import { ModelSource } from '../../src/pipelines/evaluation/model-source.ts';

/** A way to run a quantized model. */
export interface PrecisionSetting {
  readonly name: string;
  readonly options: LoadOptions;
}

/** A folder name for a setting. */
export const folderOf = (name: string) => name.replaceAll(/\W+/g, '-');

/** The images of a plan, of which those that `folder` has are kept. */
export async function drawSet(
  model: string,
  { name, options }: PrecisionSetting,
  plan: ImageSetPlan,
  folder: string,
): Promise<DrawnImage[]> {
  const source = new ModelSource(model, options);
  const onImage = ({ done, total }: { readonly done: number; readonly total: number }) => {
    if (done % 20 === 0) process.stderr.write(`${name}: ${done}/${total}\n`);
  };
  try {
    return await drawImageSet(source, folder, plan, { onImage });
  } finally {
    await source.dispose();
  }
}

/** PSNR in dB of each image to that of the same number in another folder; Infinity where equal. */
export async function psnrsTo(folder: string, images: readonly DrawnImage[]): Promise<number[]> {
  const measures = await measureImages(images, { paired: folder });
  return measures.map(({ psnr }) => psnr!);
}
