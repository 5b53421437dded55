import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { quantizedTinyUNet, tinyInputs, tinyUNet } from '../../../test/support/tiny-qat.ts';
import type { NamedArrays } from '../../core/named-arrays.ts';
import { elementCount } from '../../core/shape.ts';
import { floats, type Tensor, tensor } from '../../core/tensor.ts';
import type { Graph } from '../../ir/graph.ts';
import { GraphBuilder } from '../../ir/graph-builder.ts';
import { add, affine, linear, matmul, reshape, slice, sum } from '../../ir/ops/index.ts';
import { hashedInput } from '../../models/random-weights.ts';
import { gradientName, isGradientName } from '../../passes/differentiate.ts';
import type { InferencePrecision } from '../../passes/index.ts';
import { activationOperands } from '../../quantization/qat/activation-params.ts';
import { MovingRanges } from '../../quantization/qat/moving-ranges.ts';
import { prepare } from '../../quantization/qat/prepare.ts';
import { trainingGraph } from '../../training/training-graph.ts';
import { memoryWeights } from '../memory-weights.ts';
import { InPlace } from './in-place.ts';
import { type NativeOptions, nativeBackend } from './native-backend.ts';
import { sharedFloats } from './shared-floats.ts';

function shared(values: ArrayLike<number>): Float32Array {
  const array = sharedFloats(values.length);
  array.set(values);
  return array;
}

function wave(length: number, step = 0.37): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(step * i + 1));
}

/** A training step of a tiny U-Net, as it is trained and with its layers rounded to codes. */
interface Step {
  readonly graph: Graph;
  readonly inputs: Record<string, Tensor>;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly trained: readonly string[];
}

const steps = new Map<string, Step>();
const PRECISIONS: readonly InferencePrecision[] = ['f32', 'bf16'];

before(async () => {
  const { model, tensors } = await quantizedTinyUNet();
  const [{ layers }] = model.buckets;
  const unet = tinyUNet(1);
  const prepared = prepare(unet, layers, { ranges: 'observed' });
  const state = new MovingRanges(prepared.inputs, model, { momentum: 0.1, freezeStep: 9 });
  const scales = activationOperands(state, [model.layersAt(100)]);
  const target = hashedInput('target', unet.outputs.sample.shape);
  const inputs = { ...tinyInputs(unet, [100]), target };
  const everything = [...unet.parameters.keys()];
  const options = { distillation: 0, weighted: false };
  for (const precision of PRECISIONS) {
    const graphOf = (network: Graph, withRespectTo: readonly string[]) =>
      trainingGraph(network, { ...options, withRespectTo, precision });
    const trained = [...prepared.weights, ...prepared.weightScales];
    const rounded = graphOf(prepared.graph, trained);
    const rounding = { graph: rounded, inputs: { ...inputs, ...scales }, tensors, trained };
    steps.set(`rounded ${precision}`, rounding);
    const plain = graphOf(unet, everything);
    steps.set(`plain ${precision}`, { graph: plain, inputs, tensors, trained: everything });
  }
});

async function run(
  { graph, inputs, tensors }: Step,
  options: NativeOptions,
): Promise<Record<string, Tensor>> {
  const weights = memoryWeights(tensors);
  const executable = await nativeBackend.compile(graph, weights, { ...options, passes: [] });
  const outputs = await executable.run(inputs);
  executable.dispose();
  return outputs;
}

/** Its trained parameters in arrays, and arrays for their gradients. */
function arraysOf({ graph, tensors, trained }: Step) {
  const parameters = new Map(trained.map((name) => [name, shared(floats(tensors.get(name)!))]));
  const names = trained.map(gradientName);
  const outputs = new Map(
    names.map((name) => [name, sharedFloats(elementCount(graph.outputs[name].shape))]),
  );
  return { parameters, outputs };
}

for (const kind of ['plain', 'rounded'])
  for (const precision of PRECISIONS) {
    const title = `${kind} ${precision}`;
    test(`a training step in place is the step without, bit for bit: ${title}`, async () => {
      const step = steps.get(title)!;
      const expected = await run(step, { threads: 1 });
      assert.ok(Object.keys(expected).filter(isGradientName).length > 20);
      for (const threads of [1, 2, 3]) {
        const inPlace = arraysOf(step);
        const others = new Map([...step.tensors].filter(([name]) => !step.trained.includes(name)));
        const returned = await run({ ...step, tensors: others }, { threads, inPlace });
        for (const [name, { data }] of Object.entries(expected)) {
          assert.deepEqual(inPlace.outputs.get(name) ?? returned[name].data, data, name);
        }
        assert.ok(!Object.keys(returned).some(isGradientName));
      }
    });

    test(`each run reads what the arrays hold by then: ${title}`, async () => {
      const step = steps.get(title)!;
      const inPlace = arraysOf(step);
      const options = { passes: [], inPlace };
      const weights = memoryWeights(step.tensors);
      const executable = await nativeBackend.compile(step.graph, weights, options);
      const { loss: first } = await executable.run(step.inputs);
      const tensors = new Map(step.tensors);
      for (const [i, [name, array]] of [...inPlace.parameters].entries()) {
        for (let j = 0; j < array.length; j++) array[j] *= 1 + 0.1 * Math.sin(i + j);
        tensors.set(name, tensor('f32', tensors.get(name)!.shape, array.slice()));
      }
      const { loss } = await executable.run(step.inputs);
      executable.dispose();
      const expected = await run({ ...step, tensors }, {});
      assert.notDeepEqual(loss, first);
      assert.deepEqual(loss, expected.loss);
      for (const [name, array] of inPlace.outputs) assert.deepEqual(array, expected[name].data);
    });
  }

/** Outputs that are computed, views of one another, an input, a parameter, and a part of another. */
function viewsGraph(): Graph {
  const b = new GraphBuilder('views');
  const x = b.input('x', 'f32', [4, 6]);
  const weight = b.parameter('weight', [6, 6]);
  const product = matmul(b, x, weight);
  const part = slice(b, product, { axis: 1, start: 2, length: 3 });
  b.output('product', product);
  b.output('reshaped', reshape(b, product, [24]));
  b.output('again', reshape(b, product, [2, 12]));
  b.output('part', part);
  b.output('input', x);
  b.output('weight', weight);
  b.output('same', sum(b, reshape(b, affine(b, part, { scale: 2 }), [1, 12]), { axes: [0] }));
  b.output('later', add(b, linear(b, x, weight), product));
  return b.finish();
}

test('outputs that share memory, or lie elsewhere, are copied to their arrays', async () => {
  const graph = viewsGraph();
  const step: Step = {
    graph,
    inputs: { x: tensor('f32', [4, 6], wave(24)) },
    tensors: new Map([['weight', tensor('f32', [6, 6], wave(36, 0.9))]]),
    trained: ['weight'],
  };
  const expected = await run(step, {});
  const outputs = new Map(
    Object.entries(graph.outputs).map(([name, { shape }]) => [
      name,
      sharedFloats(elementCount(shape)),
    ]),
  );
  const { parameters } = arraysOf({ ...step, trained: [] });
  const weight = shared(wave(36, 0.9));
  for (const inPlace of [{ outputs }, { outputs, parameters: new Map([['weight', weight]]) }]) {
    for (const array of outputs.values()) array.fill(Number.NaN);
    assert.deepEqual(await run(step, { inPlace }), {});
    for (const [name, array] of outputs) assert.deepEqual(array, expected[name].data, name);
  }
  assert.equal(parameters.size, 0);
  const returned = await run(step, { inPlace: { parameters: new Map([['weight', weight]]) } });
  assert.deepEqual(returned, expected);
});

test('what lies in arrays takes no room in the arena', async () => {
  const b = new GraphBuilder('large');
  const x = b.input('x', 'f32', [1, 1024]);
  b.output('out', affine(b, matmul(b, x, b.parameter('weight', [1024, 1024])), { scale: 2 }));
  b.output('twice', affine(b, b.parameter('weight', [1024, 1024]), { scale: 2 }));
  const graph = b.finish();
  const parameters = new Map([['weight', sharedFloats(2 ** 20)]]);
  const outputs = new Map([['twice', sharedFloats(2 ** 20)]]);
  const inPlace = { parameters, outputs };
  const executable = await nativeBackend.compile(graph, memoryWeights(new Map()), { inPlace });
  assert.ok(executable.info.arenaBytes < 2 ** 15, `${executable.info.arenaBytes} bytes`);
  assert.match(executable.toString(), /weights=weight\[0\].*\n.*out=twice\[0\]/s);
  executable.dispose();
});

test('arrays count as memory, each part of them once', () => {
  const [weight, outputs] = [sharedFloats(100), sharedFloats(72)];
  const inPlace = new InPlace(viewsGraph(), {
    parameters: new Map([['weight', weight.subarray(64)]]),
    outputs: new Map([
      ['product', outputs.subarray(0, 24)],
      ['input', outputs.subarray(48)],
    ]),
  });
  assert.equal(inPlace.size, 4 * (100 + 72));
  assert.equal(new InPlace(viewsGraph()).size, 0);
});

test('a program keeps its arrays, whatever JavaScript does with them', async () => {
  const step = steps.get('plain f32')!;
  const expected = await run(step, {});
  const inPlace = arraysOf(step);
  const weights = memoryWeights(step.tensors);
  const executable = await nativeBackend.compile(step.graph, weights, { passes: [], inPlace });
  const running = executable.run(step.inputs);
  for (const array of [...inPlace.parameters.values(), ...inPlace.outputs.values()]) {
    (array.buffer as ArrayBuffer).transfer();
    assert.equal(array.length, 0);
  }
  assert.deepEqual((await running).loss, expected.loss);
  assert.deepEqual((await executable.run(step.inputs)).loss, expected.loss);
  executable.dispose();
});

test('arrays that cannot be worked on in place are refused', async () => {
  const step = { ...steps.get('plain f32')!, graph: viewsGraph(), tensors: new Map() };
  const refused = async (
    inPlace: { parameters?: NamedArrays; outputs?: NamedArrays },
    message: RegExp,
    options: NativeOptions = {},
  ) => {
    const compiling = nativeBackend.compile(step.graph, memoryWeights(new Map()), {
      ...options,
      inPlace,
    });
    await assert.rejects(compiling, { code: 'invalid-argument', message });
  };
  const one = (name: string, array: Float32Array) => new Map([[name, array]]);
  const weight = sharedFloats(36);
  await refused({ parameters: one('bias', weight) }, /has no parameter bias/);
  await refused({ outputs: one('toString', weight) }, /has no output toString/);
  await refused({ parameters: one('weight', new Float32Array(36)) }, /make it with sharedFloats/);
  await refused({ parameters: one('weight', sharedFloats(35)) }, /36 numbers .* the array 35/);
  const moved = sharedFloats(36);
  const other = new Float32Array((moved.buffer as ArrayBuffer).transfer());
  await refused({ parameters: one('weight', moved) }, /make it with sharedFloats/);
  await refused({ parameters: one('weight', other) }, /make it with sharedFloats/);
  const whole = sharedFloats(60);
  const [head, tail] = [whole.subarray(0, 36), whole.subarray(35, 59)];
  const both = { parameters: one('weight', head), outputs: one('product', tail) };
  await refused(both, /output product .*parameter weight|parameter weight .*output product/);
  const twice = new Map([
    ['product', tail],
    ['input', tail],
  ]);
  await refused({ outputs: twice }, /overlap; give each its own/);
  const dropped = { name: 'drop', run: () => graphWithoutParameter() };
  const options = { passes: [dropped] };
  await refused({ parameters: one('weight', weight) }, /no longer reads weight/, options);
});

function graphWithoutParameter(): Graph {
  const b = new GraphBuilder('views');
  b.output('product', b.input('x', 'f32', [4, 6]));
  return b.finish();
}

test('arrays take whole memory, at most what there is', () => {
  assert.deepEqual(sharedFloats(3), new Float32Array(3));
  assert.equal(sharedFloats(2 ** 20).byteLength, 2 ** 22);
  for (const count of [0, -1, 0.5, Number.NaN, 2 ** 40, 'many' as never]) {
    assert.throws(() => sharedFloats(count), { code: 'native' });
  }
});
