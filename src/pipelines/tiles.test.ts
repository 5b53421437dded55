import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planTiles, TileBlender } from './tiles.ts';

test('an image no larger than a tile is one tile', () => {
  const plan = planTiles({ height: 64, width: 48 }, 96);
  assert.deepEqual(plan, { height: 64, width: 48, origins: [{ top: 0, left: 0 }] });
});

test('tiles cover the image, stay inside it and overlap by a quarter', () => {
  for (const extent of [97, 128, 150, 256, 1000]) {
    const plan = planTiles({ height: extent, width: 32 }, 96);
    const tops = plan.origins.map((origin) => origin.top);
    assert.equal(tops[0], 0);
    assert.equal(tops.at(-1), extent - 96);
    for (let i = 1; i < tops.length; i++) {
      assert.ok(tops[i] - tops[i - 1] <= 73, `${extent}: ${tops}`);
      assert.ok(tops[i] > tops[i - 1]);
    }
  }
});

test('tiles cut from one image blend back into it', () => {
  const image = { height: 13, width: 9 };
  const scale = 2;
  const pixel = (y: number, x: number, c: number) => Math.sin(y * 3 + x) + c;
  const plan = planTiles(image, 6);
  const tiles = plan.origins.map(({ top, left }) =>
    Float32Array.from({ length: plan.height * plan.width * scale * scale * 3 }, (_, i) => {
      const at = Math.floor(i / 3);
      const y = Math.floor(at / (plan.width * scale));
      const x = at % (plan.width * scale);
      return pixel(top * scale + y, left * scale + x, i % 3);
    }),
  );
  const blender = new TileBlender(plan, image, scale, 3);
  tiles.forEach((tile, i) => {
    blender.add(tile, plan.origins[i]);
  });
  const blended = blender.finish();
  assert.equal(blended.length, 26 * 18 * 3);
  blended.forEach((value, i) => {
    const at = Math.floor(i / 3);
    const expected = pixel(Math.floor(at / 18), at % 18, i % 3);
    assert.ok(Math.abs(value - expected) < 1e-5, `${value} instead of ${expected} at ${i}`);
  });
});
