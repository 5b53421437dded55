import { byteSize, type DType } from '../core/dtype.ts';
import { BookendError } from '../core/errors.ts';
import { elementCount } from '../core/shape.ts';
import type { Graph, Node, TensorType, Value } from '../ir/graph.ts';
import { flopsOf, isOp } from '../ir/op-table.ts';
import type {
  ArrayName,
  Conv2dFields,
  GroupNormSplit,
  Instruction,
  InstructionFields,
  NativeOp,
  Place,
  QuantizeFields,
  Storage,
} from './instructions.ts';

/** Rows of a token tensor that may lie apart: a slice of a wider one that nobody copied. */
export interface Rows {
  readonly place: Place;
  /** Elements from one row to the next. */
  readonly stride: number;
}

/** Parameters and outputs of a graph that lie in arrays outside of the arena; f32. */
export interface InPlaceNames {
  readonly parameters?: { has(path: string): boolean };
  readonly outputs?: { has(name: string): boolean };
}

export interface LoweringOptions {
  readonly inPlace?: InPlaceNames;
  readonly groupNormSplit?: GroupNormSplit;
}

/** The state of one lowering: what has been emitted, and where every Value lies. */
export class Lowering {
  readonly graph: Graph;
  readonly groupNormSplit: GroupNormSplit;
  readonly instructions: Instruction[] = [];
  readonly storages: Storage[] = [];
  readonly #places = new Map<Value, Place>();
  readonly #rows = new Map<Value, Rows>();
  readonly #readers = new Map<Value, Set<Node | 'output'>>();
  readonly #asF32 = new Map<Value, Place>();
  readonly #arrays = new Map<string, Place>();
  /** Computed Values that are outputs in place: whoever computes them writes there. */
  readonly #destinations = new Map<Value, Place>();

  constructor(graph: Graph, { inPlace = {}, groupNormSplit = 'rows' }: LoweringOptions = {}) {
    const { parameters, outputs } = inPlace;
    this.graph = graph;
    this.groupNormSplit = groupNormSplit;
    for (const node of graph.nodes) {
      for (const value of Object.values(node.inputs)) this.#addReader(value, node);
    }
    for (const value of Object.values(graph.outputs)) this.#addReader(value, 'output');
    for (const [path, value] of graph.parameters) {
      const { dtype, shape } = value;
      const weight = { kind: 'vector', path, dtype, count: elementCount(shape) } as const;
      const array = { kind: 'parameter', name: path } as const;
      this.#places.set(value, parameters?.has(path) ? this.#array(array, value) : { weight });
    }
    for (const [name, value] of Object.entries(graph.outputs)) {
      if (!outputs?.has(name)) continue;
      const array = this.#array({ kind: 'output', name }, value);
      this.#arrays.set(name, array);
      const source = behindViews(value);
      const isComputed = source.node !== undefined && source.dtype === value.dtype;
      if (isComputed && !this.#destinations.has(source)) this.#destinations.set(source, array);
    }
  }

  /** The array of an output in place. */
  outputArray(name: string): Place | undefined {
    return this.#arrays.get(name);
  }

  /** The nodes that read `value`, and 'output' if it is one. */
  readers(value: Value): ReadonlySet<Node | 'output'> {
    return this.#readers.get(value) ?? new Set();
  }

  /** Whether it is known where `value` lies. */
  isPlaced(value: Value): boolean {
    return this.#places.has(value);
  }

  /** Whether nodes of `op`, and nothing else, read `value`. */
  isReadOnlyBy(value: Value, op: 'attention'): boolean {
    return [...this.readers(value)].every((reader) => reader !== 'output' && isOp(reader, op));
  }

  /**
   * Where `value` lies, dense and row-major. A parameter in place that is read as bf16 is cast for each
   * of its readers: one copy for all of them would stay from the first to the last.
   */
  place(value: Value): Place {
    const found = this.#places.get(value);
    if (!found) throw new Error(`Value ${value.id} of ${this.graph.name} was never placed.`);
    if (!isParameterArray(found) || value.dtype === 'f32') return found;
    const out = this.temporary(value);
    const fields = castFields(elementCount(value.shape), 'f32', value.dtype);
    this.emit(undefined, 'unary', fields, { x: found, out });
    return out;
  }

  /** Where the rows of `value` lie, perhaps apart. */
  rows(value: Value): Rows {
    const stride = value.shape[value.shape.length - 1];
    return this.#rows.get(value) ?? { place: this.place(value), stride };
  }

  /** Reserves a block for `value` and says where. */
  allocate(value: Value): Place {
    const place = this.#destinations.get(value) ?? this.temporary(value);
    this.#places.set(value, place);
    return place;
  }

  /** Reserves a block that no Value names. */
  temporary({ dtype, shape }: TensorType): Place {
    const bytes = elementCount(shape) * byteSize(dtype);
    return this.#reserve({ id: this.storages.length, bytes });
  }

  /** Makes `value` another name for what lies at `place`. */
  alias(value: Value, place: Place): void {
    this.#places.set(value, place);
  }

  /** Makes `value` a view of rows that lie apart; only `rows` can read it. */
  aliasRows(value: Value, rows: Rows): void {
    this.#rows.set(value, rows);
  }

  /** Where `value` lies as f32: kernels take biases and the like in no other type. */
  asF32(node: Node, value: Value): Place {
    if (value.dtype === 'f32') return this.place(value);
    const known = this.#asF32.get(value);
    if (known) return known;
    const stored = this.#places.get(value);
    if (stored && isParameterArray(stored)) return stored;
    const place = this.place(value);
    const result =
      'weight' in place && place.weight.kind === 'vector'
        ? { weight: { ...place.weight, dtype: 'f32' as const } }
        : this.#castToF32(node, value, place);
    this.#asF32.set(value, result);
    return result;
  }

  /** The checkpoint path of a value that is a parameter, perhaps reshaped or cast. */
  parameterPath(node: Node, operand: string, value: Value): string {
    const place = this.place(value);
    if ('weight' in place && place.weight.kind === 'vector') return place.weight.path;
    throw new BookendError(
      'unsupported',
      `${node.op} in ${this.graph.name}.${node.scope} reads its ${operand} from a computed value; native kernels take parameters there, so use the reference backend.`,
    );
  }

  emit<K extends NativeOp>(
    node: Node | undefined,
    op: K,
    fields: InstructionFields[K],
    operands: Readonly<Record<string, Place | undefined>>,
  ): void {
    const present = Object.entries(operands).filter(
      (entry): entry is [string, Place] => entry[1] !== undefined,
    );
    const flops = productFlops(node, op, fields);
    this.instructions.push({ op, fields, operands: Object.fromEntries(present), node, flops });
  }

  #array(array: ArrayName, { shape }: Value): Place {
    const bytes = elementCount(shape) * byteSize('f32');
    return this.#reserve({ id: this.storages.length, bytes, array });
  }

  #reserve(storage: Storage): Place {
    this.storages.push(storage);
    return { storage, byteOffset: 0 };
  }

  #castToF32(node: Node, { dtype, shape }: Value, x: Place): Place {
    const out = this.temporary({ dtype: 'f32', shape });
    this.emit(node, 'unary', castFields(elementCount(shape), dtype, 'f32'), { x, out });
    return out;
  }

  #addReader(value: Value, reader: Node | 'output'): void {
    const readers = this.#readers.get(value) ?? new Set();
    readers.add(reader);
    this.#readers.set(value, readers);
  }
}

/** What `value` is another shape of. */
function behindViews(value: Value): Value {
  const { node } = value;
  return isOp(node, 'reshape') ? behindViews(node.inputs.x) : value;
}

function isParameterArray(place: Place): boolean {
  return 'storage' in place && place.storage.array?.kind === 'parameter';
}

/** Of the products that an instruction computes; a gradient is several instructions of one node. */
function productFlops(
  node: Node | undefined,
  op: NativeOp,
  fields: InstructionFields[NativeOp],
): number {
  if ((op === 'attention' || op === 'attentionGradient') && node) return flopsOf(node);
  if (op !== 'conv2d') return 0;
  const p = fields as Conv2dFields;
  const depth = (p.channels + p.skipChannels) * p.kernelHeight * p.kernelWidth;
  return 2 * p.batch * p.outHeight * p.outWidth * p.outChannels * depth;
}

/** The place `elements` further on. */
export function offsetPlace(
  place: Extract<Place, { storage: Storage }>,
  elements: number,
  dtype: DType,
): Extract<Place, { storage: Storage }> {
  return { ...place, byteOffset: place.byteOffset + elements * byteSize(dtype) };
}

/** The fields that say how a result is stored as u8, if it is. */
export function quantizeFields(result: TensorType | undefined): QuantizeFields {
  const { scale, zeroPoint } = result?.quantization ?? { scale: 1, zeroPoint: 0 };
  return { quantizeScale: scale, quantizeZero: zeroPoint };
}

/** The native form of a cast. */
export function castFields(count: number, input: DType, output: DType): InstructionFields['unary'] {
  return { kind: 'affine', count, scale: 1, offset: 0, input, output };
}
