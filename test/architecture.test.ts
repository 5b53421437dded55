import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** From the bottom up: a layer may import itself and the rows before its own, not its neighbours. */
type Layers = readonly (readonly string[])[];

const SOURCE_LAYERS: Layers = [
  ['core'],
  ['ir', 'io', 'schedulers'],
  ['passes'],
  ['compiler'],
  ['runtime'],
  ['nn'],
  ['models'],
  ['quantization', 'training', 'evaluation', 'onnx'],
  ['pipelines'],
  ['index.ts'],
  ['cli', 'server'],
];

/**
 * dispatch says what a kernel is and how one is chosen; the tables of kernels lie with the kernels,
 * so that adding one touches a single folder.
 */
const NATIVE_LAYERS: Layers = [
  ['base'],
  ['simd', 'dispatch'],
  ['kernels'],
  ['executor'],
  ['addon', 'tools'],
];

/** Why `from` may not import `to` (both are names of layers), or undefined when it may. */
function violation(layers: Layers, from: string, to: string): string | undefined {
  if (from === to) return undefined;
  const rowOf = (layer: string) => layers.findIndex((row) => row.includes(layer));
  if (rowOf(from) < 0) return `${from} is in no layer`;
  if (rowOf(to) < 0) return `${to} is in no layer`;
  return rowOf(to) < rowOf(from) ? undefined : `${from} may not import ${to}`;
}

/** First component of a path below `root`. */
function layerOf(root: string, file: string): string {
  return path.relative(root, file).split(path.sep)[0];
}

/** Files that `file` imports, statically, dynamically or for types, by relative path. */
function relativeImports(file: string, text: string): string[] {
  const specifier = /(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g;
  return [...text.matchAll(specifier)].map((match) => path.resolve(path.dirname(file), match[1]));
}

/** Files that `file` includes by quotes, relative to itself, to native/ or to native/include/. */
function quotedIncludes(root: string, file: string, text: string): string[] {
  return [...text.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)].map(([, name]) => {
    const nearby = path.resolve(path.dirname(file), name);
    return existsSync(nearby) ? nearby : path.resolve(root, name);
  });
}

function filesUnder(root: string, pattern: string): string[] {
  return globSync(pattern, { cwd: root }).map((name) => path.join(root, name));
}

test('TypeScript imports point down the layers', () => {
  const root = path.join(ROOT, 'src');
  const files = filesUnder(root, '**/*.ts').filter((file) => !file.endsWith('.test.ts'));
  const problems = files.flatMap((file) =>
    relativeImports(file, readFileSync(file, 'utf8')).flatMap((target) => {
      const broken = violation(SOURCE_LAYERS, layerOf(root, file), layerOf(root, target));
      return broken ? [`${path.relative(ROOT, file)}: ${broken}`] : [];
    }),
  );
  assert.ok(files.length > 50, `only ${files.length} files were found`);
  assert.deepEqual(problems, []);
});

test('C++ includes point down the layers', () => {
  const root = path.join(ROOT, 'native');
  const files = filesUnder(root, '**/*.{cc,cpp,h,hpp,inc}').filter(
    (file) => path.dirname(file) !== root && !layerOf(root, file).startsWith('test'),
  );
  const problems = files.flatMap((file) =>
    quotedIncludes(root, file, readFileSync(file, 'utf8')).flatMap((target) => {
      const broken = violation(NATIVE_LAYERS, layerOf(root, file), layerOf(root, target));
      return broken ? [`${path.relative(ROOT, file)}: ${broken}`] : [];
    }),
  );
  assert.ok(files.length > 0, 'no C++ file was found');
  assert.deepEqual(problems, []);
});

test('Node headers are included by the addon alone', () => {
  const root = path.join(ROOT, 'native');
  const users = filesUnder(root, '**/*.{cc,cpp,h,hpp,inc}')
    .filter((file) =>
      /#\s*include\s+[<"](napi|node_api|node|v8|uv)\.h/.test(readFileSync(file, 'utf8')),
    )
    .map((file) => layerOf(root, file));
  assert.deepEqual([...new Set(users)], ['addon']);
});

test('upward, sideways and unknown imports are found', () => {
  const file = '/src/ir/a.ts';
  const text = "import { x } from '../passes/x.ts';\nconst y = await import('../io/y.ts');\n";
  const targets = relativeImports(file, text).map((target) => layerOf('/src', target));
  assert.deepEqual(targets, ['passes', 'io']);
  for (const target of targets) assert.ok(violation(SOURCE_LAYERS, 'ir', target));
  assert.ok(violation(SOURCE_LAYERS, 'pipelines', 'cli'));
  assert.ok(violation(SOURCE_LAYERS, 'elsewhere', 'core'));
  assert.equal(violation(SOURCE_LAYERS, 'ir', 'core'), undefined);
  const included = quotedIncludes(
    '/native',
    '/native/base/a.h',
    '#include "kernels/gemm/gemm.h"\n',
  );
  assert.ok(violation(NATIVE_LAYERS, 'base', layerOf('/native', included[0])));
});
