import { describe, expect, it } from 'vitest';
import {
  MAX_COMBINATIONS,
  compileTemplate,
  encodeForUrl,
  parametersForTags,
  parametersForUrls,
  templateProblem,
} from '../../policies/templates.ts';

function expand(template: string, values: Readonly<Record<string, readonly string[]>>) {
  return compileTemplate(template).expand((name) => values[name]);
}

describe('a template', () => {
  it('lists its names, each once', () => {
    expect(compileTemplate('{a}:{after.id}:{a}').names).toEqual(['a', 'after.id']);
    expect(compileTemplate('plain').names).toEqual([]);
  });

  it.each([
    ['plain', {}, ['plain']],
    ['product:{id}', { id: ['7'] }, ['product:7']],
    ['{id}', { id: ['$&', '{x}'] }, ['$&', '{x}']],
    ['{a}-{b}', { a: ['1', '2'], b: ['x', 'y'] }, ['1-x', '1-y', '2-x', '2-y']],
    ['{a}{a}', { a: ['1', '2'] }, ['11', '22']],
    ['{a}', { a: ['1', '1'] }, ['1']],
    ['{after.group id}', { 'after.group id': ['g'] }, ['g']],
  ])('%s with %j makes %j', (template, values, expected) => {
    expect(expand(template, values)).toEqual({ kind: 'ok', values: expected });
  });

  it('without a value for a name gives no text and reports the name', () => {
    expect(expand('{a}:{b}', { a: ['1'] })).toEqual({ kind: 'missing', name: 'b' });
    expect(expand('{a}', { a: [] })).toEqual({ kind: 'missing', name: 'a' });
  });

  it('gives a bounded number of texts', () => {
    const values = Array.from({ length: Math.sqrt(MAX_COMBINATIONS) }, (_, i) => String(i));
    expect(expand('{a},{b}', { a: values, b: values })).toMatchObject({ kind: 'ok' });
    expect(expand('{a},{b}', { a: values, b: [...values, 'x'] })).toMatchObject({ kind: 'too-many' });
  });

  it.each(['{', '}', '{}', 'a{b', 'a}b', '{a{b}', '{a}}'])("can't be %s", (text) => {
    expect(templateProblem(text)).not.toBeNull();
    expect(() => compileTemplate(text)).toThrow(TypeError);
  });
});

describe("a route's parameters", () => {
  it('are percent-decoded in tags, so that a change with the id itself gives the same tag', () => {
    const lookup = parametersForTags({ id: 'caf%C3%A9', odd: '%ff', plain: 'x' });
    expect(['id', 'odd', 'plain', 'none'].map(lookup)).toEqual([['café'], ['ÿ'], ['x'], undefined]);
  });

  it('are unchanged in URLs', () => {
    const lookup = parametersForUrls({ id: 'a%2Fb' });
    expect([lookup('id'), lookup('none')]).toEqual([['a%2Fb'], undefined]);
  });
});

describe('a value of a change in a URL', () => {
  it.each([
    ['7', '7'],
    ['a b', 'a%20b'],
    ['café', 'caf%C3%A9'],
    ['/p/7?x=1&y=%20', '/p/7?x=1&y=%20'],
    ['https://shop.example/p', 'https://shop.example/p'],
    ['"<>\\^`{|}', '%22%3C%3E%5C%5E%60%7B%7C%7D'],
    ['\ud800', '%EF%BF%BD'],
  ])('%j becomes %j', (value, expected) => {
    expect(encodeForUrl(value)).toBe(expected);
  });
});
