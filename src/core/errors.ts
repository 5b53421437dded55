/**
 * What went wrong, for programs; the message says it for people. Codes are part of the public API.
 */
export type ErrorCode =
  | 'aborted'
  | 'insufficient-memory'
  | 'invalid-argument'
  | 'invalid-checkpoint'
  | 'invalid-graph'
  | 'invalid-image'
  | 'io'
  | 'missing-tensor'
  | 'native'
  | 'non-finite'
  | 'not-found'
  | 'unsupported';

/**
 * The one error type that Bookend throws on purpose. The message is one sentence: what was found,
 * what was expected, what to do.
 */
export class BookendError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'BookendError';
    this.code = code;
  }
}

/** Throws the abort error when `signal` has fired; called between steps and instructions. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new BookendError('aborted', 'The run was stopped before it finished.', {
      cause: signal.reason,
    });
  }
}
