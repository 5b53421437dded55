import { BookendError, type ErrorCode } from '../../core/errors.ts';

const NATIVE_CODES: ReadonlySet<unknown> = new Set<ErrorCode>([
  'aborted',
  'insufficient-memory',
  'invalid-argument',
  'io',
  'native',
  'non-finite',
  'unsupported',
]);

/** What the addon threw, as the error type of the library; other errors stay what they are. */
export function asBookendError(error: unknown): unknown {
  if (error instanceof BookendError || !(error instanceof Error)) return error;
  const { code } = error as Error & { code?: unknown };
  if (!NATIVE_CODES.has(code)) return error;
  return new BookendError(code as ErrorCode, error.message, { cause: error });
}
