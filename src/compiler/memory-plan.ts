import type { Storage } from './instructions.ts';

/** Every vector unit's loads stay inside one cache line, and no two blocks share one. */
export const ALIGNMENT = 64;

/** The instructions, by number, between which a block's contents must stay, both included. */
export interface Lifetime {
  readonly storage: Storage;
  readonly first: number;
  readonly last: number;
}

export interface MemoryPlan {
  /** Bytes from the start of the arena, by storage id. */
  readonly offsets: ReadonlyMap<number, number>;
  readonly arenaBytes: number;
  /** What is live at the fullest moment: no plan can need less. */
  readonly lowerBound: number;
}

interface Placed {
  readonly lifetime: Lifetime;
  readonly begin: number;
  readonly end: number;
}

/**
 * Gives every block an offset such that blocks that live at the same time never overlap: largest
 * first, each into the smallest gap that holds it ("greedy by size", Pisarchyk and Lee, "Efficient
 * Memory Management for Deep Neural Net Inference", 2020).
 */
export function planMemory(lifetimes: readonly Lifetime[]): MemoryPlan {
  const placed: Placed[] = [];
  const offsets = new Map<number, number>();
  let arenaBytes = 0;
  const largestFirst = [...lifetimes].sort(
    (a, b) => b.storage.bytes - a.storage.bytes || a.storage.id - b.storage.id,
  );
  for (const lifetime of largestFirst) {
    const size = align(lifetime.storage.bytes);
    const neighbours = placed.filter((other) => overlapInTime(other.lifetime, lifetime));
    const begin = smallestGap(neighbours, size);
    insertByBegin(placed, { lifetime, begin, end: begin + size });
    offsets.set(lifetime.storage.id, begin);
    arenaBytes = Math.max(arenaBytes, begin + size);
  }
  return { offsets, arenaBytes, lowerBound: mostLive(lifetimes) };
}

export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function overlapInTime(a: Lifetime, b: Lifetime): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** Where `size` bytes fit most tightly between `taken`, which is sorted by begin. */
function smallestGap(taken: readonly Placed[], size: number): number {
  let best: number | undefined;
  let bestGap = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const block of taken) {
    const gap = block.begin - end;
    if (gap >= size && gap < bestGap) {
      best = end;
      bestGap = gap;
    }
    end = Math.max(end, block.end);
  }
  return best ?? end;
}

function insertByBegin(placed: Placed[], block: Placed): void {
  const at = placed.findIndex((other) => other.begin > block.begin);
  placed.splice(at < 0 ? placed.length : at, 0, block);
}

function mostLive(lifetimes: readonly Lifetime[]): number {
  const changes = new Map<number, number>();
  const change = (at: number, bytes: number) => changes.set(at, (changes.get(at) ?? 0) + bytes);
  for (const { storage, first, last } of lifetimes) {
    change(first, align(storage.bytes));
    change(last + 1, -align(storage.bytes));
  }
  let live = 0;
  let most = 0;
  for (const at of [...changes.keys()].sort((a, b) => a - b)) {
    live += changes.get(at)!;
    most = Math.max(most, live);
  }
  return most;
}
