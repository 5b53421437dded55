import type { NodeOf } from '../../ir/op-table.ts';
import type { Emitter } from '../emitter.ts';

export function emitEmbedding(e: Emitter, node: NodeOf<'embedding'>): void {
  const { ids, table } = node.inputs;
  e.store(node.outputs[0], 'last', e.node('Gather', [e.real(table), e.stored(ids)], { axis: 0 }));
}

/** Sines and cosines of timestep × frequency; the frequencies are rounded as the op defines. */
export function emitTimestepEmbedding(e: Emitter, node: NodeOf<'timestepEmbedding'>): void {
  const { timestep } = node.inputs;
  const { dim, flipSinToCos, freqShift, maxPeriod } = node.attributes;
  const half = dim / 2;
  const frequencies = Float32Array.from({ length: half }, (_, i) => {
    const scaled = Math.fround(Math.fround(-Math.log(maxPeriod)) * i);
    return Math.exp(Math.fround(scaled / (half - freqShift)));
  });
  const column = e.reshape(e.real(timestep), [timestep.shape[0], 1]);
  const angles = e.node('Mul', [column, e.constants.floats([1, half], frequencies)]);
  const [sines, cosines] = [e.node('Sin', [angles]), e.node('Cos', [angles])];
  const halves = flipSinToCos ? [cosines, sines] : [sines, cosines];
  e.store(node.outputs[0], 'last', e.node('Concat', halves, { axis: 1 }));
}
