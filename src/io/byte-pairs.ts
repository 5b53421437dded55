/**
 * Byte-pair encoding of one word (Sennrich et al., "Neural Machine Translation of Rare Words with
 * Subword Units", 2016, algorithm 1): of all neighbouring pairs, the one learned earliest is merged,
 * leftmost first, until none is left. With a heap over a linked list this costs O(n log n), so that
 * a prompt of one huge word cannot stall the process.
 */

/** A learned merge: how early it was learned and what it makes. */
export interface Merge {
  readonly rank: number;
  readonly id: number;
}

export type MergeOf = (left: number, right: number) => Merge | undefined;

interface Candidate {
  readonly rank: number;
  readonly position: number;
  readonly left: number;
  readonly right: number;
  readonly id: number;
}

/** Merges the symbols of a word, given and returned as token ids. */
export function mergePairs(symbols: readonly number[], mergeOf: MergeOf): number[] {
  const ids = [...symbols];
  const count = ids.length;
  // Neighbours of each position; -1 as an id marks a symbol that its left neighbour absorbed.
  const next = ids.map((_, i) => i + 1);
  const previous = ids.map((_, i) => i - 1);
  const heap: Candidate[] = [];
  const propose = (position: number) => {
    const right = next[position];
    if (position < 0 || right >= count) return;
    const merge = mergeOf(ids[position], ids[right]);
    if (merge) push(heap, { ...merge, position, left: ids[position], right: ids[right] });
  };
  for (let i = 0; i + 1 < count; i++) propose(i);
  for (let best = pop(heap); best; best = pop(heap)) {
    const { position, left, right, id } = best;
    const absorbed = next[position];
    // Stale when one of the two has been merged with something else since.
    if (ids[position] !== left || absorbed >= count || ids[absorbed] !== right) continue;
    ids[position] = id;
    ids[absorbed] = -1;
    next[position] = next[absorbed];
    if (next[position] < count) previous[next[position]] = position;
    propose(previous[position]);
    propose(position);
  }
  return ids.filter((id) => id >= 0);
}

function before(a: Candidate, b: Candidate): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.position < b.position);
}

function push(heap: Candidate[], item: Candidate): void {
  let i = heap.length;
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (!before(item, heap[parent])) break;
    heap[i] = heap[parent];
    i = parent;
  }
  heap[i] = item;
}

function pop(heap: Candidate[]): Candidate | undefined {
  const top = heap[0];
  const item = heap.pop();
  if (!item || heap.length === 0) return top;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
    if (!before(heap[child], item)) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = item;
  return top;
}
