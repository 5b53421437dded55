import type { NodeOf } from '../ir/op-table.ts';
import type { Lowering } from './lowering.ts';

export function lowerPool2d(node: NodeOf<'pool2d'>, lowering: Lowering): void {
  const { x } = node.inputs;
  const [output] = node.outputs;
  const { kind, kernelHeight, kernelWidth, stride, padding } = node.attributes;
  const [batch, height, width, channels] = x.shape;
  const [, outHeight, outWidth] = output.shape;
  lowering.emit(
    node,
    'pool2d',
    {
      kind,
      batch,
      height,
      width,
      channels,
      outHeight,
      outWidth,
      kernelHeight,
      kernelWidth,
      stride,
      padTop: padding[0],
      padLeft: padding[2],
      type: x.dtype,
    },
    { x: lowering.place(x), out: lowering.allocate(output) },
  );
}
