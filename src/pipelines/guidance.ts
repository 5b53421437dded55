/**
 * Classifier-free guidance (Ho and Salimans, 2022, equation 6, in the scale that Stable Diffusion
 * uses): unconditional + scale · (conditional − unconditional). The model ran on the batch twice
 * over, negative prompts first.
 */
export function guide(modelOutput: Float32Array, guidanceScale: number): Float32Array {
  const half = modelOutput.length / 2;
  const guided = new Float32Array(half);
  for (let i = 0; i < half; i++) {
    const unconditional = modelOutput[i];
    const difference = Math.fround(modelOutput[half + i] - unconditional);
    guided[i] = unconditional + Math.fround(guidanceScale * difference);
  }
  return guided;
}

/** The sample once for the negative prompt and once for the prompt. */
export function repeatForGuidance(sample: Float32Array): Float32Array {
  const both = new Float32Array(sample.length * 2);
  both.set(sample);
  both.set(sample, sample.length);
  return both;
}
