import { describe, expect, it } from 'vitest';
import { isReused, refusal, reuse, stored } from './given.ts';

describe('§3 storing', () => {
  it('§3 stores and reuses a response with explicit freshness', () => {
    expect(isReused(['Cache-Control', 'max-age=60'], 59)).toBe(true);
    expect(isReused(['Cache-Control', 'max-age=60'], 60)).toBe(false);
    expect(refusal(['Cache-Control', 'no-store, max-age=60'])).toBe('no-store');
    expect(reuse(stored(['Cache-Control', 'max-age=1', 'ETag', '"a"']), 5).kind).toBe('revalidate');
  });
});
