import { describe, expect, it } from 'vitest';
import { staleFields } from '../../../policies/http/downstream.ts';

const DATE_MS = Date.UTC(2026, 0, 5, 8);
const inSeconds = (seconds: number): string => new Date(DATE_MS + seconds * 1000).toUTCString();
const FAR = 'Fri, 31 Dec 9999 23:59:59 GMT';
const NO_GUESS = ['Cache-Control', 'max-age=0'];

describe('RFC 9111 §4.2: fields of a response that is served stale', () => {
  it.each<[string, string[], string[]]>([
    ['max-age', ['Cache-Control', 'max-age=600'], ['Age', '600']],
    ['the longest of several', ['Cache-Control', 'max-age=60, s-maxage=900'], ['Age', '900']],
    ['several lines', ['Cache-Control', 'max-age=60', 'cache-control', 'max-age=700'], ['Age', '700']],
    ['conflicting values', ['Cache-Control', 'max-age=0, max-age=300'], [...NO_GUESS, 'Age', '300']],
    ['s-maxage alone', ['Cache-Control', 's-maxage=900'], [...NO_GUESS, 'Age', '900']],
    [
      'a targeted field',
      ['Cache-Control', 'max-age=1', 'CDN-Cache-Control', 'max-age=3600'],
      ['Age', '3600'],
    ],
    [
      "a CDN's own field",
      ['Cache-Control', 'max-age=1', 'Fastly-Cache-Control', 's-maxage=7200'],
      ['Age', '7200'],
    ],
    [
      'Surrogate-Control',
      ['Cache-Control', 'max-age=1', 'Surrogate-Control', 'max-age=3600+600'],
      ['Age', '3600'],
    ],
    ['Expires', ['Expires', inSeconds(500)], ['Age', '500']],
    ['an Expires that no Age reaches', ['Expires', FAR], [...NO_GUESS, 'Age', '2147483648']],
    ['white space in a directive', ['Cache-Control', 'max-age = 600'], [...NO_GUESS, 'Age', '600']],
    ['a missing comma', ['Cache-Control', 'public max-age=600'], [...NO_GUESS, 'Age', '600']],
    [
      'a targeted field without a lifetime',
      ['Cache-Control', 'max-age=600', 'CDN-Cache-Control', 'public'],
      ['CDN-Cache-Control', 'max-age=0', 'Age', '600'],
    ],
    ['Expires in the past', ['Expires', '0'], ['Age', '42']],
    ['no lifetime', ['Last-Modified', inSeconds(-86_400)], [...NO_GUESS, 'Age', '42']],
    ['a lifetime of 0', ['Cache-Control', 'max-age=0'], ['Age', '42']],
    ['a shorter lifetime', ['Cache-Control', 'max-age=10'], ['Age', '42']],
    ['a very long lifetime', ['Cache-Control', 'max-age=99999999999'], ['Age', '2147483648']],
  ])('are made for %s', (_, sent, fields) => {
    expect(staleFields(sent, DATE_MS, 42)).toEqual(fields);
  });
});
