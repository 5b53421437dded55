import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Does some work on a row, unless another process is at it. A lock whose process is gone counts for
 * nothing.
 *
 * @param lock a file, which is there while the work is done
 */
export async function unlessLocked(lock: string, work: () => Promise<void>): Promise<void> {
  await mkdir(dirname(lock), { recursive: true });
  if (!(await claim(lock))) return;
  try {
    await work();
  } finally {
    await rm(lock);
  }
}

async function claim(lock: string): Promise<boolean> {
  const file = await open(lock, 'wx').catch(() => undefined);
  if (file) {
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  }
  if (isRunning(Number(await readFile(lock, 'utf8')))) return false;
  await rm(lock, { force: true });
  return claim(lock);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
