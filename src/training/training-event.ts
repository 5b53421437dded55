/** What a training run tells whoever watches it. */
export type TrainingEvent =
  | PreparationEvent
  /** A stored state was taken up, in which `step` optimizer steps were done. */
  | { readonly kind: 'resumed'; readonly step: number }
  | StepEvent
  /** The state after `step` optimizer steps is on disk. */
  | {
      readonly kind: 'checkpoint';
      readonly step: number;
      readonly path: string;
      readonly seconds: number;
    };

/** Work before the first step or after the last; `seconds` is the time of the one that just ended. */
export interface PreparationEvent {
  readonly kind: 'preparing';
  readonly phase: 'calibrating' | 'quantizing' | 'encoding' | 'trajectories' | 'measuring';
  readonly done: number;
  readonly total: number;
  readonly seconds: number;
}

/** An optimizer step that was done; all losses are means over its samples. */
export interface StepEvent {
  readonly kind: 'step';
  /** From 1 to `steps`. */
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  /** The error to the data; absent where there is no target. */
  readonly targetLoss?: number;
  /** The error to the teacher, before its weight; absent where there is none. */
  readonly teacherLoss?: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly seconds: number;
}
