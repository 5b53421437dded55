import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instructionSets, resolveIsa } from '../../src/runtime/native/cpu.ts';
import { cannotTest, ISAS, isEmulated } from './kernel-sets.ts';

// The other files of this folder leave out what this machine cannot run; here it is said.
for (const isa of ISAS) {
  const reason = cannotTest(isa);
  test(`${isa} is tested here`, { skip: reason }, (t) => {
    assert.equal(resolveIsa(isa), isa);
    if (isEmulated(isa)) t.diagnostic(`${isa} is emulated, on small problems only`);
  });
}

test('the names of instruction sets are those of the addon', () => {
  assert.deepEqual(
    instructionSets().map(({ name }) => name),
    ISAS,
  );
});
