import { BookendError } from '../core/errors.ts';

const REASONS: Record<string, string> = {
  EACCES: 'permission is denied; choose a place you may use or change its permissions',
  EPERM: 'the system does not permit it; choose another place',
  EROFS: 'the file system is read-only; choose another place',
  EISDIR: 'a folder is in its place; give the path of a file',
  ENOTDIR: 'a part of the path is a file, not a folder; correct the path',
  ENOENT: 'a folder on the way does not exist; create it or correct the path',
  ENOSPC: 'the disk is full; free some space or choose another place',
  EDQUOT: 'the disk quota is used up; free some space or choose another place',
  EMFILE: 'too many files are open; raise the limit (ulimit -n)',
  ENAMETOOLONG: 'the name is too long; choose a shorter one',
  ELOOP: 'its symbolic links go in a circle; correct them',
  EFBIG: 'the file would be larger than the file system allows; choose another place',
};

/** The system's error code (`ENOSPC`, …) when `error` has one. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * A file system failure as one sentence. `action` reads on from "Cannot": `read`, `write`. A file
 * that is not there to be read is `not-found`, everything else `io`; errors that are already ours,
 * and programming errors without a system code, pass through unchanged.
 */
export function asIoError(action: 'read' | 'write', path: string, error: unknown): unknown {
  const code = systemCode(error);
  if (error instanceof BookendError || code === undefined) return error;
  if (action === 'read' && code === 'ENOENT') {
    return new BookendError('not-found', `There is no file ${path}; correct the path.`, {
      cause: error,
    });
  }
  const reason = REASONS[code] ?? `the system answered ${code}; check the path and the disk`;
  return new BookendError('io', `Cannot ${action} ${path}: ${reason}.`, { cause: error });
}
