import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TorchGenerator } from '../core/rng.ts';
import { ALIGNMENT, type Lifetime, type MemoryPlan, planMemory } from './memory-plan.ts';

function lifetime(id: number, bytes: number, first: number, last: number): Lifetime {
  return { storage: { id, bytes }, first, last };
}

/** Every pair that lives at the same time lies apart; every block is aligned and inside. */
function assertValid(lifetimes: readonly Lifetime[], plan: MemoryPlan): void {
  for (const [i, a] of lifetimes.entries()) {
    const beginA = plan.offsets.get(a.storage.id)!;
    assert.equal(beginA % ALIGNMENT, 0);
    assert.ok(beginA >= 0 && beginA + a.storage.bytes <= plan.arenaBytes);
    for (const b of lifetimes.slice(i + 1)) {
      if (a.first > b.last || b.first > a.last) continue;
      const beginB = plan.offsets.get(b.storage.id)!;
      const apart = beginA + a.storage.bytes <= beginB || beginB + b.storage.bytes <= beginA;
      assert.ok(apart, `blocks ${a.storage.id} and ${b.storage.id} overlap`);
    }
  }
}

test('random lifetimes never overlap, and plans stay near the lower bound', () => {
  const random = new TorchGenerator(5);
  for (let round = 0; round < 50; round++) {
    const count = 2 + round * 3;
    const draws = random.uniformFloat32(3 * count);
    const lifetimes = Array.from({ length: count }, (_, id) => {
      const first = Math.floor(draws[3 * id] * count);
      const bytes = 1 + Math.floor(draws[3 * id + 1] ** 4 * 100_000);
      return lifetime(id, bytes, first, first + Math.floor(draws[3 * id + 2] * 8));
    });
    const plan = planMemory(lifetimes);
    assertValid(lifetimes, plan);
    assert.ok(plan.arenaBytes >= plan.lowerBound);
    assert.ok(plan.arenaBytes <= 1.5 * plan.lowerBound, `${plan.arenaBytes} of ${plan.lowerBound}`);
  }
});

test('a block takes the place of one that has died', () => {
  const lifetimes = [lifetime(0, 640, 0, 1), lifetime(1, 640, 1, 2), lifetime(2, 640, 2, 3)];
  const plan = planMemory(lifetimes);
  assertValid(lifetimes, plan);
  assert.equal(plan.arenaBytes, 1280);
  assert.equal(plan.offsets.get(0), plan.offsets.get(2));
});

test('the tightest gap is taken', () => {
  // What dies first leaves gaps of 512 and 256 bytes between walls; a block of 128 takes the second.
  const lifetimes = [
    lifetime(0, 1024, 0, 9),
    lifetime(1, 512, 0, 0),
    lifetime(2, 448, 0, 9),
    lifetime(3, 256, 0, 0),
    lifetime(4, 192, 0, 9),
    lifetime(5, 128, 1, 1),
  ];
  const plan = planMemory(lifetimes);
  assertValid(lifetimes, plan);
  assert.equal(plan.offsets.get(5), plan.offsets.get(3));
});

test('no blocks need no memory', () => {
  assert.deepEqual(planMemory([]), { offsets: new Map(), arenaBytes: 0, lowerBound: 0 });
});
