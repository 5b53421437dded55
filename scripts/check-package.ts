/**
 * `npm run check:package`: packs Bookend, installs the tarball in an empty folder as a user would,
 * and there runs `npx bookend doctor`, `npx bookend generate` and a TypeScript program that must
 * type-check under `strict`, as must the README's examples; all with the Node that this machine has
 * outside the project.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

const PROGRAM = `import { StableDiffusionPipeline, writePng } from 'bookend';

const pipe = await StableDiffusionPipeline.fromPretrained('node_modules/bookend/models/emoji');
const { images, seeds, timings } = await pipe('red apple', {
  numInferenceSteps: 10,
  seed: 1,
  onStepEnd: ({ step, steps }) => console.log(\`step \${step + 1} of \${steps}\`),
});
await writePng('apple.png', images[0], { seed: String(seeds[0]) });
console.log(\`\${timings.total.toFixed(2)} s\`);
await pipe.dispose();
`;

/** The README's examples, which need models of their own to run, by the name of their file. */
function readmeExamples(): Map<string, string> {
  const blocks = readFileSync('README.md', 'utf8').matchAll(/^```ts\n(.*?)^```$/gms);
  return new Map([...blocks].map(([, code], i) => [`readme-${i}.ts`, code]));
}

const TSCONFIG = {
  compilerOptions: {
    module: 'nodenext',
    target: 'es2022',
    strict: true,
    types: ['node'],
    outDir: 'out',
  },
  include: ['*.ts'],
};

/** Without the folders that `npm run` puts first, where the project's own Node is. */
const USERS_PATH = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((entry) => !/[\\/]node_modules[\\/]|[\\/]node-gyp-bin$/.test(entry))
  .join(delimiter);

function run(cwd: string, command: string, ...args: string[]): string {
  const env = { ...process.env, PATH: USERS_PATH };
  const result = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}`;
  if (result.status === 0) return output;
  console.error(
    `${command} ${args.join(' ')} failed (${result.status ?? result.error}):\n${output}`,
  );
  process.exit(1);
}

function requirePng(path: string): void {
  const { size } = statSync(path);
  if (size < 200) throw new Error(`${path} has only ${size} bytes.`);
  console.log(`ok    ${path.slice(path.lastIndexOf('/') + 1)}: ${size} bytes`);
}

console.log(`      with Node ${run('.', 'node', '--version').trim()}`);
const folder = mkdtempSync(join(tmpdir(), 'bookend-package-'));
try {
  run('.', 'npm', 'pack', '--pack-destination', folder);
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))!;
  const mebibytes = statSync(join(folder, tarball)).size / 2 ** 20;
  console.log(`ok    npm pack: ${tarball}, ${mebibytes.toFixed(1)} MiB`);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module", "private": true }\n');
  const versions = { typescript: '', '@types/node': '' };
  run(
    folder,
    'npm',
    'install',
    '--no-audit',
    '--no-fund',
    `./${tarball}`,
    ...Object.keys(versions),
  );
  console.log('ok    npm install in an empty folder');
  console.log(run(folder, 'npx', 'bookend', 'doctor').replace(/^/gm, '      '));
  run(folder, 'npx', 'bookend', 'generate', 'red apple', '--steps', '10', '--seed', '1');
  requirePng(resolve(folder, 'bookend.png'));
  writeFileSync(join(folder, 'program.ts'), PROGRAM);
  const examples = readmeExamples();
  for (const [name, code] of examples) writeFileSync(join(folder, name), code);
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(TSCONFIG));
  run(folder, 'npx', 'tsc', '-p', '.');
  console.log(
    `ok    a TypeScript program and ${examples.size} examples of the README type-check under strict`,
  );
  run(folder, 'node', join('out', 'program.js'));
  requirePng(resolve(folder, 'apple.png'));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
