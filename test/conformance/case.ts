/**
 * What a case of HTTP caching is made of: requests in turn to one URL, what the origin says if it is asked, and where the
 * answer must come from. Cases are data; `runner.ts` plays them through a running Weir.
 */
import { formatHttpDate } from '../../policies/http/dates.ts';

export interface Case {
  /** States the behaviour. */
  readonly name: string;
  /** What RFCs demand of every cache, or what a good one does within them. */
  readonly level: 'required' | 'optional';
  readonly steps: readonly Step[];
}

export interface Step {
  readonly ask?: Ask;
  readonly say?: Say;
  readonly from: Source;
  /** Of the answer; unless given, that of `say`, or 200. */
  readonly status?: number;
  /** Fields that the answer has with just these values. */
  readonly has?: Values;
  /** Names of fields that the answer lacks. */
  readonly lacks?: readonly string[];
  /** Fields that the origin must have been sent with just these values. */
  readonly sends?: Values;
  /** The least that Age may be. */
  readonly ageAtLeast?: number;
  /** Of the answer; unless given, that of the step whose content it has to be. */
  readonly body?: string;
  /** The step whose content is answered; unless given, of `cache` and validation the first, else its own. */
  readonly bodyOf?: number;
  /** Statuses of interim responses that came before. */
  readonly interim?: readonly number[];
}

/**
 * `origin`: asked once; `cache`: not asked; `refresh`: not asked before the answer, but behind it; `etag`, `date`: asked
 * with that precondition, and 304 answered.
 */
export type Source = 'origin' | 'cache' | 'refresh' | 'etag' | 'date';

export interface Ask {
  readonly method?: string;
  readonly fields?: Values;
  readonly body?: string;
  /** Put after the case's own path. */
  readonly more?: string;
}

export interface Say {
  readonly status?: number;
  readonly fields?: Values;
  readonly body?: string;
  /** Closes the connection in place of an answer. */
  readonly cut?: boolean;
  readonly interim?: readonly { readonly status: number; readonly fields: readonly string[] }[];
}

/** Names and values in turn; a moment is written as an HTTP-date when it is sent. */
export type Values = readonly (string | Moment)[];

/** A time in seconds from when it is written down. */
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

/** The answer is used again. */
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

/** The answer is not used again. */
export function notReused(level: Case['level'], name: string, fields: Values, say: Say = {}): Case {
  const step: Step = { say: { ...say, fields }, from: 'origin' };
  return { name, level, steps: [step, step] };
}

function sameStatus({ status }: Say): { readonly status?: number } {
  return status === undefined ? {} : { status };
}
