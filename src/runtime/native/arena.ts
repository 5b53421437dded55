import type { NativeArena } from './addon.ts';
import { callAddon } from './loader.ts';

let shared: NativeArena | undefined;
let users = 0;

/**
 * The memory that all programs run in, one after the other. It grows to what the largest of them
 * needs and goes back to the system when the last one is disposed of.
 */
export function acquireArena(): NativeArena {
  shared ??= callAddon((addon) => addon.createArena());
  users++;
  return shared;
}

export function releaseArena(): void {
  users--;
  if (users > 0 || !shared) return;
  const arena = shared;
  shared = undefined;
  callAddon((addon) => addon.releaseArena(arena));
}
