import { BookendError } from '../core/errors.ts';
import { formatShape, sameShape } from '../core/shape.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import type { WeightSource } from './backend.ts';

/** Throws `invalid-argument` unless `inputs` are exactly the inputs of `graph`. */
export function checkInputs(graph: Graph, inputs: Readonly<Record<string, Tensor>>): void {
  for (const name of Object.keys(inputs)) {
    if (!Object.hasOwn(graph.inputs, name)) {
      const expected = Object.keys(graph.inputs).join(', ');
      throw new BookendError(
        'invalid-argument',
        `${graph.name} has no input named ${name}; pass ${expected}.`,
      );
    }
  }
  for (const [name, { dtype, shape }] of Object.entries(graph.inputs)) {
    const given = inputs[name] as Tensor | undefined;
    const expected = `${dtype}${formatShape(shape)}`;
    if (!given) {
      throw new BookendError(
        'invalid-argument',
        `${graph.name} was run without its input ${name}; pass a tensor ${expected}.`,
      );
    }
    if (given.dtype !== dtype || !sameShape(given.shape, shape)) {
      throw new BookendError(
        'invalid-argument',
        `Input ${name} of ${graph.name} is ${given.dtype}${formatShape(given.shape)}; pass ${expected}.`,
      );
    }
  }
}

/** Throws unless `weights` has every parameter of `graph` but those of `others`, in its shape. */
export function checkWeights(
  graph: Graph,
  weights: WeightSource,
  others: { has(path: string): boolean } = new Set(),
): void {
  for (const [path, { shape }] of graph.parameters) {
    if (others.has(path)) continue;
    const info = weights.info(path);
    if (!info) {
      throw new BookendError(
        'missing-tensor',
        `The checkpoint has no tensor ${path}, which ${graph.name} needs with shape ${formatShape(shape)}; use a checkpoint of this architecture.`,
      );
    }
    if (!sameShape(info.shape, shape)) {
      throw new BookendError(
        'invalid-checkpoint',
        `Tensor ${path} has the shape ${formatShape(info.shape)}, but ${graph.name} needs ${formatShape(shape)}; use a checkpoint of this architecture.`,
      );
    }
  }
}
