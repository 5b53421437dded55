import type { Activation } from '../../ir/ops/epilogue.ts';
import type { Emitter } from '../emitter.ts';

type Emission = (e: Emitter, x: string) => string;

/** x · sigmoid(beta · x). */
function swish(beta: number): Emission {
  return (e, x) => {
    const scaled = beta === 1 ? x : e.node('Mul', [x, e.constants.scalar(beta)]);
    return e.node('Mul', [x, e.node('Sigmoid', [scaled])]);
  };
}

export const silu = swish(1);
export const quickGelu = swish(1.702);

export const relu: Emission = (e, x) => e.node('Relu', [x]);

/** x · Φ(x), by the error function: opset 17 has no Gelu yet. */
export const gelu: Emission = (e, x) => {
  const erf = e.node('Erf', [e.node('Mul', [x, e.constants.scalar(Math.SQRT1_2)])]);
  const twicePhi = e.node('Add', [erf, e.constants.scalar(1)]);
  return e.node('Mul', [e.node('Mul', [x, twicePhi]), e.constants.scalar(0.5)]);
};

/** 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))). */
export const geluTanh: Emission = (e, x) => {
  const scalar = (value: number) => e.constants.scalar(value);
  const cubic = e.node('Mul', [e.node('Mul', [x, x]), scalar(0.044715)]);
  const inner = e.node('Mul', [x, e.node('Add', [cubic, scalar(1)])]);
  const tanh = e.node('Tanh', [e.node('Mul', [inner, scalar(Math.sqrt(2 / Math.PI))])]);
  return e.node('Mul', [e.node('Mul', [x, e.node('Add', [tanh, scalar(1)])]), scalar(0.5)]);
};

/** The first half of `channels` times the gelu of the second. */
export function geglu(e: Emitter, x: string, axis: number, channels: number): string {
  const half = channels / 2;
  const sizes = e.constants.integers([half, half]);
  const [value, gate] = e.nodeOf(2, 'Split', [x, sizes], { axis });
  return e.node('Mul', [value, gelu(e, gate)]);
}

const ACTIVATIONS: Record<Exclude<Activation, 'geglu'>, Emission> = {
  none: (_e, x) => x,
  silu,
  gelu,
  quickGelu,
  relu,
};

/** An activation of numbers with `channels` on `axis`. */
export function activate(
  e: Emitter,
  activation: Activation,
  x: string,
  { axis, channels }: { readonly axis: number; readonly channels: number },
): string {
  return activation === 'geglu' ? geglu(e, x, axis, channels) : ACTIVATIONS[activation](e, x);
}
