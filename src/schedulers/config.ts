import type { z } from 'zod';
import { BookendError, type ErrorCode } from '../core/errors.ts';

/** The options of a scheduler_config.json before they are checked. */
export type SchedulerJson = Readonly<Record<string, unknown>>;

/**
 * Reads the text of a scheduler_config.json. Python writes infinities there as bare words, which
 * JSON does not know; they become the largest finite numbers. Throws `invalid-checkpoint`.
 */
export function parseSchedulerJson(text: string): SchedulerJson {
  const words = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g;
  const json = text.replace(words, (word) => {
    if (word.startsWith('"')) return word;
    if (word === 'NaN') return 'null';
    return String(word.startsWith('-') ? -Number.MAX_VALUE : Number.MAX_VALUE);
  });
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new BookendError(
      'invalid-checkpoint',
      'The scheduler_config.json is not valid JSON; download it again.',
      { cause },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BookendError(
      'invalid-checkpoint',
      'The scheduler_config.json does not hold a JSON object; download it again.',
    );
  }
  return value as SchedulerJson;
}

/**
 * Checks `json` against one scheduler's options. Options it does not have are left out, as they
 * belong to the scheduler the model came with; nulls mean the default. Throws `unsupported` for a
 * value that is not among an option's choices, `invalid-argument` for one that makes no sense.
 */
export function parseOptions<Schema extends z.ZodType>(
  schema: Schema,
  json: SchedulerJson,
  scheduler: string,
): z.infer<Schema> {
  const given = Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null));
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const option = issue.path.join('.');
  const found = issue.path.reduce<unknown>(
    (at, key) => (at as SchedulerJson)?.[String(key)],
    given,
  );
  const [code, expected] = describe(issue);
  throw new BookendError(
    code,
    `The ${scheduler} scheduler has ${option} = ${JSON.stringify(found)}, but supports only ${expected}; change it in scheduler_config.json or choose another scheduler.`,
  );
}

function describe(issue: z.core.$ZodIssue): [ErrorCode, string] {
  switch (issue.code) {
    case 'invalid_value':
      return ['unsupported', issue.values.map((value) => JSON.stringify(value)).join(', ')];
    case 'invalid_type':
      return ['invalid-argument', `a value of type ${issue.expected}`];
    case 'too_small':
      return ['invalid-argument', `values from ${issue.minimum}`];
    case 'too_big':
      return ['invalid-argument', `values up to ${issue.maximum}`];
    default:
      return ['invalid-argument', `valid values (${issue.message})`];
  }
}
