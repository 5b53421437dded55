/** Stable Diffusion on CPUs. This is the package's only public entry. */
export { BookendError, type ErrorCode } from './core/errors.ts';
export type {
  ClassifyingExtractor,
  Description,
  FeatureExtractor,
} from './evaluation/feature-extractor.ts';
export {
  type FeatureStatistics,
  featureStatistics,
  RunningStatistics,
} from './evaluation/feature-statistics.ts';
export { type FrechetDistance, frechetDistance } from './evaluation/frechet-distance.ts';
export { type InceptionScore, inceptionScore } from './evaluation/inception-score.ts';
export { type KernelDistance, kernelDistance } from './evaluation/kernel-distance.ts';
export { diversity, meanPairwiseDistance, pairedDistances } from './evaluation/paired-distance.ts';
export { type PrecisionRecall, precisionRecall } from './evaluation/precision-recall.ts';
export { psnr } from './evaluation/psnr.ts';
export { ssim } from './evaluation/ssim.ts';
export { type ReadImageOptions, readImage, resizeImage } from './io/image.ts';
export type { Image } from './io/image-data.ts';
export { encodePng, type PngText, writePng } from './io/png.ts';
export { readPngText } from './io/png-text.ts';
export { type PromptEntry, readPrompts } from './io/prompts.ts';
export {
  ClipModel,
  type ClipModelOptions,
  loadClipModel,
} from './pipelines/evaluation/clip-model.ts';
export {
  type FeatureOptions,
  featuresOfImages,
  type ImageFeatures,
  referenceFeatures,
} from './pipelines/evaluation/image-features.ts';
export type { ImageRecord } from './pipelines/evaluation/image-record.ts';
export {
  type DrawnImage,
  type DrawOptions,
  drawImageSet,
  type ImageSetPlan,
  type SamplingSettings,
} from './pipelines/evaluation/image-set.ts';
export { loadExtractor } from './pipelines/evaluation/load-extractor.ts';
export { loadFidInception } from './pipelines/evaluation/load-inception.ts';
export { loadReference, type Reference } from './pipelines/evaluation/load-reference.ts';
export {
  type ImageMeasures,
  type MeasureOptions,
  measureImages,
} from './pipelines/evaluation/measure-images.ts';
export { ModelSource } from './pipelines/evaluation/model-source.ts';
export { loadNsfwjsInception } from './pipelines/evaluation/nsfwjs-inception.ts';
export {
  type SetMetrics,
  type SetMetricsOptions,
  setMetrics,
} from './pipelines/evaluation/set-metrics.ts';
export { sweep } from './pipelines/evaluation/sweep.ts';
export type { PairedQuality } from './pipelines/evaluation/sweep-measures.ts';
export type { SweepGrid, SweepPoint, SweepPrecision } from './pipelines/evaluation/sweep-points.ts';
export type { SweepRecommendation } from './pipelines/evaluation/sweep-recommendation.ts';
export type {
  Sweep,
  SweepForecast,
  SweepProgress,
  SweepRequest,
} from './pipelines/evaluation/sweep-request.ts';
export type { SweepRow } from './pipelines/evaluation/sweep-rows.ts';
export type { ImageTimings } from './pipelines/image-timings.ts';
export type { ImageToImageRequest } from './pipelines/image-to-image.ts';
export {
  type Pipeline,
  type PipelineType,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
  UnconditionalPipeline,
} from './pipelines/index.ts';
export type { InpaintRequest } from './pipelines/inpaint.ts';
export type { LayerRanking, LayerSensitivity } from './pipelines/layer-sensitivity.ts';
export type { LoadOptions } from './pipelines/load.ts';
export {
  type LayerReport,
  type PostTrainingOptions,
  type QuantizationProgress,
  type QuantizationReport,
  quantizePostTraining,
} from './pipelines/post-training-quantization.ts';
export type {
  GenerationResult,
  Precision,
  PrecisionOptions,
  PrecisionPrediction,
  PromptRequest,
  RunRequest,
  StepEnd,
  TileDecoded,
  Timings,
} from './pipelines/request.ts';
export type { StepSensitivity } from './pipelines/sensitivity.ts';
export type { StableDiffusion } from './pipelines/stable-diffusion.ts';
export type { TextToImageRequest } from './pipelines/text-to-image.ts';
export type { DataFree, ImageData, TrainingData } from './pipelines/training/open-batches.ts';
export {
  type QuantizationAwareOptions,
  quantizeWithTraining,
} from './pipelines/training/quantization-aware-training.ts';
export type { ScaleLearning } from './pipelines/training/scale-learning.ts';
export {
  type TrainingReport,
  type TrainModelOptions,
  trainModel,
} from './pipelines/training/train-model.ts';
export type { UnconditionalDiffusion } from './pipelines/unconditional.ts';
export { type SchedulerName, schedulerNames } from './schedulers/index.ts';
export type { PreparationEvent, StepEvent, TrainingEvent } from './training/training-event.ts';
export type { TrainingOptions, TrainingRequest } from './training/training-options.ts';
