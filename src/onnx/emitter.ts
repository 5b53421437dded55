import { BookendError } from '../core/errors.ts';
import type { QuantizationParams } from '../core/quantization-params.ts';
import type { Shape } from '../core/shape.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { Initializers, type ParameterForm, requireExported } from './initializers.ts';
import { type Layout, transposition } from './layout.ts';
import type { OnnxAttribute, OnnxNode } from './model-proto.ts';

type Attributes = Readonly<Record<string, OnnxAttribute>>;

/** The names under which a Value is there already. */
type Names = Partial<Record<Layout, string>>;

/**
 * Collects ONNX nodes and initializers. A Value is one ONNX tensor for each layout in which it is
 * read: a transpose appears only where a reader wants another layout than the writer's, once for all
 * such readers. Quantized Values are codes; whoever computes with them reads them dequantized.
 */
export class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly constants: Initializers;
  readonly #taken = new Set<string>();
  readonly #parameters: ReadonlyMap<Value, string>;
  readonly #stored = new Map<Value, Names>();
  readonly #real = new Map<Value, Names>();
  #scope = '';

  /** @param reserved names that no node or initializer may take */
  constructor({ inputs, parameters }: Graph, reserved: Iterable<string>) {
    this.constants = new Initializers((wanted) => this.#unique(wanted));
    this.#parameters = new Map([...parameters].map(([path, value]) => [value, path]));
    for (const name of reserved) this.#taken.add(name);
    for (const [name, value] of Object.entries(inputs)) this.bind(value, 'last', name);
  }

  /** Nodes from here on are named after this path. */
  enter(scope: string): void {
    this.#scope = scope;
  }

  /** Adds a node of one output and gives that output's name. */
  node(type: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.nodeOf(1, type, inputs, attributes)[0];
  }

  /** Adds a node of `count` outputs. */
  nodeOf(
    count: number,
    type: string,
    inputs: readonly string[],
    attributes: Attributes = {},
  ): string[] {
    const name = this.#unique(this.#scope === '' ? type : `${this.#scope}/${type}`);
    const outputs = Array.from({ length: count }, (_, i) => (count === 1 ? name : `${name}:${i}`));
    this.nodes.push({ name, type, inputs, outputs, attributes });
    return outputs;
  }

  /** Says that the tensor `name` is `value` as stored: codes where it is quantized. */
  bind(value: Value, layout: Layout, name: string): void {
    this.#taken.add(name);
    const bothAlike = value.shape.length <= 2;
    this.#stored.set(value, bothAlike ? { last: name, first: name } : { [layout]: name });
  }

  /** Stores the real numbers `name` as `value`, quantized where it is. */
  store(value: Value, layout: Layout, name: string): void {
    const { quantization } = value;
    if (quantization) {
      this.bind(value, layout, this.node('QuantizeLinear', [name, ...this.#grid(quantization)]));
    } else {
      requireExported(value, `The value %${value.id}`);
      this.bind(value, layout, name);
    }
  }

  /** The layout in which `value` is there without a transpose. */
  layoutOf(value: Value): Layout {
    const names = this.#stored.get(value);
    return names?.first !== undefined && names.last === undefined ? 'first' : 'last';
  }

  /** The name of `value` as stored; a parameter becomes an initializer. */
  stored(value: Value, layout: Layout = 'last'): string {
    const path = this.#parameters.get(value);
    if (path !== undefined && !this.#stored.has(value)) {
      this.bind(value, 'last', this.constants.parameter(path, value, {}));
    }
    const names = this.#stored.get(value);
    if (!names) {
      throw new BookendError(
        'invalid-graph',
        `The value %${value.id} is read before anything defines it; export a graph that verifies.`,
      );
    }
    names[layout] ??= this.node('Transpose', [names[layout === 'last' ? 'first' : 'last']!], {
      perm: transposition(value.shape.length, layout),
    });
    return names[layout];
  }

  /** The name of the real numbers that `value` stands for. */
  real(value: Value, layout: Layout = 'last'): string {
    if (!value.quantization) return this.stored(value, layout);
    const names = this.#real.get(value) ?? {};
    this.#real.set(value, names);
    names[layout] ??= this.dequantize(this.stored(value, layout), value.quantization);
    return names[layout];
  }

  /** The real numbers of u8 codes. */
  dequantize(codes: string, params: QuantizationParams): string {
    return this.node('DequantizeLinear', [codes, ...this.#grid(params)]);
  }

  /** The real numbers of `value` in another form; a parameter is stored in it. */
  formed(value: Value, form: ParameterForm): string {
    const path = this.#parameters.get(value);
    if (path !== undefined) return this.constants.parameter(path, value, form);
    if (form.transpose) return this.node('Transpose', [this.real(value)], { perm: [1, 0] });
    return form.shape ? this.reshape(this.real(value), form.shape) : this.real(value);
  }

  reshape(name: string, shape: Shape): string {
    return this.node('Reshape', [name, this.constants.integers(shape)]);
  }

  #grid({ scale, zeroPoint }: QuantizationParams): [string, string] {
    return [this.constants.scalar(scale), this.constants.code(zeroPoint)];
  }

  #unique(wanted: string): string {
    let name = wanted;
    for (let n = 1; this.#taken.has(name); n++) name = `${wanted}_${n}`;
    this.#taken.add(name);
    return name;
  }
}
