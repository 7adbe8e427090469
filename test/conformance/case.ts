/**
 * The form of a case of HTTP caching: requests in turn to one URL, the origin's answers, and the source that
 * each answer must have. Cases are data; `runner.ts` runs them against a running Weir.
 */
import { formatHttpDate } from '../../policies/http/dates.ts';

export interface Case {
  /** States the behaviour. */
  readonly name: string;
  /** Whether RFCs require it of every cache, or a good cache does it within them. */
  readonly level: 'required' | 'optional';
  readonly steps: readonly Step[];
}

export interface Step {
  readonly ask?: Ask;
  readonly say?: Say;
  readonly from: Source;
  /** The status of the answer; by default that of `say`, or 200. */
  readonly status?: number;
  /** Fields that the answer has with exactly these values. */
  readonly has?: Values;
  /** Names of fields that the answer does not have. */
  readonly lacks?: readonly string[];
  /** Fields that the request to the origin had with exactly these values. */
  readonly sends?: Values;
  /** The smallest allowed Age. */
  readonly ageAtLeast?: number;
  /** The body of the answer; by default that of the step whose content it must have. */
  readonly body?: string;
  /**
   * The step whose content is the answer's; by default the first one for `cache` and validation, and
   * otherwise this one.
   */
  readonly bodyOf?: number;
  /** Statuses of the interim responses before the answer. */
  readonly interim?: readonly number[];
}

/**
 * `origin`: requested once; `cache`: not requested; `refresh`: requested only after the answer; `etag`,
 * `date`: requested with that precondition, and answered with 304.
 */
export type Source = 'origin' | 'cache' | 'refresh' | 'etag' | 'date';

export interface Ask {
  readonly method?: string;
  readonly fields?: Values;
  readonly body?: string;
  /** Appended to the case's own path. */
  readonly more?: string;
}

export interface Say {
  readonly status?: number;
  readonly fields?: Values;
  readonly body?: string;
  /** Closes the connection instead of answering. */
  readonly cut?: boolean;
  readonly interim?: readonly { readonly status: number; readonly fields: readonly string[] }[];
}

/** Names and values in turn; a moment is sent as an HTTP-date. */
export type Values = readonly (string | Moment)[];

/** A time, in seconds from when it is sent. */
export interface Moment {
  readonly inSeconds: number;
}

export function at(inSeconds: number): Moment {
  return { inSeconds };
}

export function written(values: Values, nowMs: number): string[] {
  return values.map((value) =>
    typeof value === 'string' ? value : formatHttpDate(nowMs + value.inSeconds * 1000),
  );
}

/** The answer is reused. */
export function reused(level: Case['level'], name: string, fields: Values, say: Say = {}): Case {
  const step = { say: { ...say, fields } };
  return {
    name,
    level,
    steps: [
      { ...step, from: 'origin' },
      { from: 'cache', ...sameStatus(say) },
    ],
  };
}

/** The answer is not reused. */
export function notReused(level: Case['level'], name: string, fields: Values, say: Say = {}): Case {
  const step: Step = { say: { ...say, fields }, from: 'origin' };
  return { name, level, steps: [step, step] };
}

function sameStatus({ status }: Say): { readonly status?: number } {
  return status === undefined ? {} : { status };
}
