import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { throwIfAborted } from '../core/errors.ts';
import { formatShape } from '../core/shape.ts';
import { refuseFolder, writeAtomically } from '../io/atomic-write.ts';
import type { Graph, Value } from '../ir/graph.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { checkWeights } from '../runtime/check-tensors.ts';
import { emitNode } from './emit/table.ts';
import { Emitter } from './emitter.ts';
import {
  byteLengthOf,
  type Initializer,
  readInitializer,
  requireExported,
} from './initializers.ts';
import { encodeModel, type OnnxNode, type OnnxTensor, type OnnxValue } from './model-proto.ts';

/** Initializers from this size on lie outside the model file, each at a multiple of it: a page. */
const PAGE = 4096;

export interface ExportOptions {
  readonly producerVersion?: string;
  /** For people who open the file in a viewer. */
  readonly documentation?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Stops between two tensors, and leaves no file behind. */
  readonly signal?: AbortSignal;
}

export interface ExportedFiles {
  readonly model: string;
  /** Beside it, and found by name: the two move together. */
  readonly data: string;
  /** Of the data. */
  readonly bytes: number;
  readonly nodes: number;
}

/** A graph in ONNX's words, before any weight is read. */
export interface LoweredGraph {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly Initializer[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/**
 * Writes `graph`, of precision f32 and quantized or not, as an ONNX model at `path`, with its weights
 * in `path`.data. Quantized values become QuantizeLinear and DequantizeLinear nodes, s8 weights stay
 * s8. Inputs and outputs are those of the graph: f32, channels last.
 *
 * @throws BookendError `unsupported` for an op or dtype that is not exported; `missing-tensor` or
 * `invalid-checkpoint` when `weights` do not fit; `io`; `aborted`
 */
export async function exportOnnx(
  graph: Graph,
  weights: WeightSource,
  path: string,
  options: ExportOptions = {},
): Promise<ExportedFiles> {
  checkWeights(graph, weights);
  const { initializers, ...lowered } = lowerToOnnx(graph);
  const data = `${path}.data`;
  // Found before the data takes the place of older data, which an older model at `path` may need.
  await refuseFolder(path);
  const tensors: OnnxTensor[] = [];
  let bytes = 0;
  await writeAtomically(data, async (handle) => {
    for (const initializer of initializers) {
      throwIfAborted(options.signal);
      const length = byteLengthOf(initializer);
      const content = await readInitializer(initializer, weights);
      const { name, type, shape } = initializer;
      if (length < PAGE) {
        tensors.push({ name, type, shape, data: { bytes: content } });
        continue;
      }
      const offset = Math.ceil(bytes / PAGE) * PAGE;
      await writeAt(handle, content, offset);
      bytes = offset + length;
      tensors.push({ name, type, shape, data: { file: basename(data), offset, length } });
    }
  });
  const { producerVersion = '', documentation = '', metadata = {} } = options;
  const about = { name: graph.name, producerVersion, documentation, metadata };
  const model = encodeModel({ ...about, ...lowered, initializers: tensors });
  await writeAtomically(path, async (handle) => writeAt(handle, model, 0));
  return { model: path, data, bytes, nodes: lowered.nodes.length };
}

/** Says `graph` in ONNX nodes. @throws BookendError `unsupported` */
export function lowerToOnnx(graph: Graph): LoweredGraph {
  const outputs = Object.entries(graph.outputs);
  const emitter = new Emitter(
    graph,
    outputs.map(([name]) => outputName(graph, name)),
  );
  for (const node of graph.nodes) emitNode(emitter, node);
  emitter.enter('');
  const named = outputs.map(([name, value]) => ({
    name: `${name}/Identity`,
    type: 'Identity',
    inputs: [emitter.stored(value)],
    outputs: [outputName(graph, name)],
    attributes: {},
  }));
  return {
    nodes: [...emitter.nodes, ...named],
    initializers: emitter.constants.all(),
    inputs: Object.entries(graph.inputs).map(([name, value]) => describe(name, value)),
    outputs: outputs.map(([name, value]) => describe(outputName(graph, name), value)),
  };
}

/**
 * What the output `name` of `graph` is called: in ONNX, inputs and outputs share one set of names, so
 * that a U-Net from sample to sample gives `out_sample`.
 */
export function outputName({ inputs }: Pick<Graph, 'inputs'>, name: string): string {
  return Object.hasOwn(inputs, name) ? `out_${name}` : name;
}

function describe(name: string, value: Value): OnnxValue {
  const { shape } = value;
  const type = requireExported(value, `The value ${name}`);
  const layout = shape.length === 4 ? ', batch × height × width × channels' : '';
  return { name, type, shape, documentation: `${formatShape(shape)}${layout}` };
}

/** Below 2 GiB, so that one call can write it. */
const LARGEST_WRITE = 2 ** 30;

async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(bytes.length - done, LARGEST_WRITE);
    done += (await handle.write(bytes, done, length, position + done)).bytesWritten;
  }
}
