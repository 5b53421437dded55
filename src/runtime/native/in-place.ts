import type { ArrayName } from '../../compiler/instructions.ts';
import type { DType } from '../../core/dtype.ts';
import { BookendError } from '../../core/errors.ts';
import type { NamedArrays } from '../../core/named-arrays.ts';
import { elementCount } from '../../core/shape.ts';
import type { Graph, Value } from '../../ir/graph.ts';
import { requireApart, type SharedPlace, sharedBytes, sharedPlace } from './shared-floats.ts';

/** Arrays of `sharedFloats` that a program works on in place. */
export interface InPlaceArrays {
  /**
   * Parameters whose numbers each run reads anew, so that an optimizer may change them in between. The
   * WeightSource need not have them. Convolutions pack them whenever they run; a parameter that the
   * graph has as bf16 is rounded for each of its readers.
   */
  readonly parameters?: NamedArrays;
  /** Outputs that runs write here and do not return. No two arrays may overlap. */
  readonly outputs?: NamedArrays;
}

/** The arrays of one program, checked. */
export class InPlace {
  readonly parameters: NamedArrays;
  readonly outputs: NamedArrays;

  /**
   * @param graph as it was given to the compiler
   * @throws BookendError `invalid-argument` for names that `graph` does not have, other types than f32
   * (parameters: or bf16), other lengths, overlaps, or memory that is not shared
   */
  constructor(graph: Graph, { parameters = new Map(), outputs = new Map() }: InPlaceArrays = {}) {
    this.parameters = parameters;
    this.outputs = outputs;
    for (const [path, array] of parameters) {
      check(graph, `parameter ${path}`, graph.parameters.get(path), array, ['f32', 'bf16']);
    }
    for (const [name, array] of outputs) {
      const value = Object.hasOwn(graph.outputs, name) ? graph.outputs[name] : undefined;
      check(graph, `output ${name}`, value, array, ['f32']);
    }
    requireApart({ output: outputs }, { parameter: parameters });
  }

  /** In bytes. */
  get size(): number {
    return sharedBytes([...this.parameters.values(), ...this.outputs.values()]);
  }

  /** @throws BookendError `invalid-argument` where a pass put something else in a parameter's place */
  requireIn(compiled: Graph): void {
    const lost = [...this.parameters.keys()].find((path) => !compiled.parameters.has(path));
    if (lost === undefined) return;
    throw new BookendError(
      'invalid-argument',
      `${compiled.name} no longer reads ${lost} once it is compiled, so no run could see it change; leave it out.`,
    );
  }

  place({ kind, name }: ArrayName): SharedPlace {
    const arrays = kind === 'parameter' ? this.parameters : this.outputs;
    return sharedPlace(`${kind} ${name}`, arrays.get(name)!);
  }
}

function check(
  graph: Graph,
  what: string,
  value: Value | undefined,
  array: Float32Array,
  dtypes: readonly DType[],
): void {
  if (!value) refuse(graph, `has no ${what}; name one that it has`);
  const { dtype, shape } = value;
  if (!dtypes.includes(dtype)) {
    const expected = dtypes.join(' and ');
    refuse(
      graph,
      `has its ${what} as ${dtype}, and only ${expected} can be in place; leave it out`,
    );
  }
  sharedPlace(what, array);
  const count = elementCount(shape);
  if (array.length === count) return;
  refuse(graph, `has ${count} numbers in its ${what} and the array ${array.length}; pass as many`);
}

function refuse(graph: Graph, found: string): never {
  throw new BookendError('invalid-argument', `${graph.name} ${found}.`);
}
