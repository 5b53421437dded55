import type { Shape } from '../core/shape.ts';
import { ProtoWriter } from './protobuf.ts';

/*
 * The part of ONNX's data model that an inference graph needs, and its encoding. Field numbers are
 * those of onnx.proto (github.com/onnx/onnx), IR version 8.
 */

/** Opset 17 brought LayerNormalization; runtimes of early 2023 and later read it. */
export const OPSET = 17;
const IR_VERSION = 8;

/** TensorProto.DataType. */
export const ELEMENT_TYPE = { f32: 1, u8: 2, s8: 3, s32: 6, s64: 7 } as const;
export type ElementType = keyof typeof ELEMENT_TYPE;

const ELEMENT_BYTES: Record<ElementType, number> = { f32: 4, u8: 1, s8: 1, s32: 4, s64: 8 };

export function elementBytes(type: ElementType): number {
  return ELEMENT_BYTES[type];
}

/** Floats are written as `{ float }`, because a whole JavaScript number does not say which it is. */
export type OnnxAttribute = number | string | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly name: string;
  readonly type: string;
  /** '' is an optional operand left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** A graph input or output. */
export interface OnnxValue {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
  readonly documentation: string;
}

/** Where a tensor's bytes are: in the model, or in a file beside it. */
export type OnnxData =
  | { readonly bytes: Uint8Array }
  | { readonly file: string; readonly offset: number; readonly length: number };

export interface OnnxTensor {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
  readonly data: OnnxData;
}

export interface OnnxModel {
  readonly name: string;
  readonly producerVersion: string;
  readonly documentation: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/** A ModelProto. */
export function encodeModel(model: OnnxModel): Uint8Array {
  const writer = new ProtoWriter()
    .int(1, IR_VERSION)
    .text(2, 'bookend')
    .text(3, model.producerVersion)
    .text(6, model.documentation)
    .message(7, (graph) => writeGraph(graph, model))
    .message(8, (opset) => opset.text(1, '').int(2, OPSET));
  for (const [key, value] of Object.entries(model.metadata)) {
    writer.message(14, (entry) => writeEntry(entry, key, value));
  }
  return writer.finish();
}

function writeGraph(writer: ProtoWriter, model: OnnxModel): void {
  for (const node of model.nodes) writer.message(1, (w) => writeNode(w, node));
  writer.text(2, model.name);
  for (const tensor of model.initializers) writer.message(5, (w) => writeTensor(w, tensor));
  for (const value of model.inputs) writer.message(11, (w) => writeValue(w, value));
  for (const value of model.outputs) writer.message(12, (w) => writeValue(w, value));
}

function writeNode(writer: ProtoWriter, { name, type, inputs, outputs, attributes }: OnnxNode) {
  for (const input of inputs) writer.text(1, input);
  for (const output of outputs) writer.text(2, output);
  writer.text(3, name).text(4, type);
  for (const [key, value] of Object.entries(attributes)) {
    writer.message(5, (w) => writeAttribute(w.text(1, key), value));
  }
}

/** The value and field 20, which says what it is: FLOAT 1, INT 2, STRING 3, INTS 7. */
function writeAttribute(writer: ProtoWriter, value: OnnxAttribute): void {
  if (typeof value === 'number') {
    writer.int(3, value).int(20, 2);
  } else if (typeof value === 'string') {
    writer.text(4, value).int(20, 3);
  } else if ('float' in value) {
    writer.float(2, value.float).int(20, 1);
  } else {
    for (const item of value) writer.int(8, item);
    writer.int(20, 7);
  }
}

function writeTensor(writer: ProtoWriter, { name, type, shape, data }: OnnxTensor): void {
  for (const extent of shape) writer.int(1, extent);
  writer.int(2, ELEMENT_TYPE[type]).text(8, name);
  if ('bytes' in data) {
    writer.bytes(9, data.bytes);
    return;
  }
  const entries = { location: data.file, offset: `${data.offset}`, length: `${data.length}` };
  for (const [key, value] of Object.entries(entries)) {
    writer.message(13, (w) => writeEntry(w, key, value));
  }
  const EXTERNAL = 1;
  writer.int(14, EXTERNAL);
}

function writeValue(writer: ProtoWriter, { name, type, shape, documentation }: OnnxValue): void {
  writer.text(1, name);
  writer.message(2, (w) =>
    w.message(1, (tensor) => {
      tensor.int(1, ELEMENT_TYPE[type]).message(2, (dims) => {
        for (const extent of shape) dims.message(1, (dim) => dim.int(1, extent));
      });
    }),
  );
  writer.text(3, documentation);
}

/** A StringStringEntryProto. */
function writeEntry(writer: ProtoWriter, key: string, value: string): void {
  writer.text(1, key).text(2, value);
}
