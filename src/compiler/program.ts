import type { Graph, TensorType } from '../ir/graph.ts';
import type { Instruction, Place } from './instructions.ts';
import type { MemoryPlan } from './memory-plan.ts';

/** A graph input, or an output that is not in place, in the arena. */
export interface Port extends TensorType {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
  /** Inputs that pick rows of a table: the number of rows. */
  readonly idLimit?: number;
}

/**
 * What a graph was compiled to, before any weight is loaded: pure data, and the same for every
 * instruction set.
 */
export interface Program {
  readonly name: string;
  /** What the instructions came from, after all passes. */
  readonly graph: Graph;
  readonly instructions: readonly Instruction[];
  readonly memory: MemoryPlan;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

/** Bytes from the start of the arena, for a place in it. */
export function arenaOffset(memory: MemoryPlan, place: Place): number | undefined {
  if ('weight' in place || place.storage.array) return undefined;
  return memory.offsets.get(place.storage.id)! + place.byteOffset;
}

/** One line for each instruction, with where it reads and writes. */
export function printProgram(program: Program): string {
  const { memory, instructions } = program;
  const ports = (list: readonly Port[]) =>
    list.map((p) => `${p.name} @${p.offset} ${p.dtype}[${p.shape.join(', ')}]`).join(', ');
  const lines = instructions.map(
    (instruction, i) => `${i}: ${printInstruction(memory, instruction)}`,
  );
  return [
    `program ${program.name}: ${instructions.length} instructions, arena ${memory.arenaBytes} bytes (at least ${memory.lowerBound})`,
    `inputs ${ports(program.inputs)}`,
    ...lines,
    `outputs ${ports(program.outputs)}`,
    '',
  ].join('\n');
}

/** Of an instruction that has nothing to do with quantization. */
const NEUTRAL: Readonly<Record<string, unknown>> = {
  store: 'float',
  scores: 'float',
  quantizeScale: 1,
  quantizeZero: 0,
  inputScale: 1,
  inputZero: 0,
  skipScale: 1,
  skipZero: 0,
};

function printInstruction(memory: MemoryPlan, { op, fields, operands, node }: Instruction): string {
  const places = Object.entries(operands).map(([name, place]) => `${name}=${print(memory, place)}`);
  const values = Object.entries(fields)
    .filter(([name, value]) => value !== false && value !== 'none' && value !== NEUTRAL[name])
    .map(([name, value]) => `${name}=${Array.isArray(value) ? `[${value.join(' ')}]` : value}`);
  const scope = node?.scope ? ` # ${node.scope}` : '';
  return `${op} ${places.join(' ')} {${values.join(' ')}}${scope}`;
}

function print(memory: MemoryPlan, place: Place): string {
  if ('storage' in place) {
    const { array } = place.storage;
    return array ? `${array.name}[${place.byteOffset / 4}]` : `@${arenaOffset(memory, place)}`;
  }
  return place.weight.kind === 'zero' ? '0' : place.weight.path;
}
