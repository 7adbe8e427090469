/** Sizes and durations as the configuration writes them: `256MiB`, `30s`; a plain 0 needs no unit. */
import { z } from 'zod';

const BYTES = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 } as const;
const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The longest delay of a Node.js timer, in days. */
const LONGEST_TIMER_DAYS = 24;

/** A size in bytes: a whole number up to 2^53 − 1. */
export function size({
  least = 0,
  most = Number.MAX_SAFE_INTEGER,
}: { readonly least?: number; readonly most?: number } = {}) {
  const low = least === 0 ? '' : ` of ${least} B or more`;
  const bound = most === Number.MAX_SAFE_INTEGER ? low : `${low} of at most ${most} B`;
  return quantity(BYTES, `a size such as 64MiB (B, KiB, MiB, GiB)${bound}`, least, most);
}

/** A duration in milliseconds up to 2^53 − 1, for lifetimes and other times that no timer waits for. */
export function duration() {
  return quantity(
    MILLISECONDS,
    'a duration such as 200ms, 30s or 24h (ms, s, m, h, d)',
    0,
    Number.MAX_SAFE_INTEGER,
  );
}

/** A duration in milliseconds up to 2^31 − 1. A timer with a longer delay would fire at once. */
export function timeout({ least = 1 }: { readonly least?: number } = {}) {
  const expected = `a duration such as 200ms or 30s (ms, s, m, h, d) from ${least}ms to ${LONGEST_TIMER_DAYS}d`;
  return quantity(MILLISECONDS, expected, least, LONGEST_TIMER_DAYS * MILLISECONDS.d);
}

function quantity(units: Readonly<Record<string, number>>, expected: string, least: number, most: number) {
  const pattern = new RegExp(`^(\\d+(?:\\.\\d+)?)(${Object.keys(units).join('|')})$`);
  const read = (written: string | number): number => {
    if (typeof written === 'number') return written;
    const [, amount, unit] = pattern.exec(written) ?? [];
    return Math.round(Number(amount) * (units[unit ?? ''] ?? Number.NaN));
  };
  return z
    .union([z.string().regex(pattern, { error: expected, abort: true }), z.literal(0)], { error: expected })
    .refine((written) => isWithin(read(written), least, most), { error: expected })
    .transform(read);
}

function isWithin(value: number, least: number, most: number): boolean {
  return value >= least && value <= most;
}
