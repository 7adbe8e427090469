import { describe, expect, it } from 'vitest';
import { decideBypass } from '../../../policies/bypass.ts';
import { readCookies, withOneCookie } from '../../../policies/http/cookies.ts';
import { policy } from '../../rfc9111/given.ts';

const read = (...lines: string[]) => {
  const reading = readCookies(
    lines.flatMap((line) => ['Cookie', line]),
    ['tenant'],
  );
  return reading.kind === 'read' ? (reading.values.get('tenant') ?? null) : reading.kind;
};

describe('RFC 6265 §4.1.1: a cookie that every origin reads alike', () => {
  it.each([
    ['tenant=v', 'v'],
    ['a=1; tenant=v; b=2', 'v'],
    ['a=1;tenant=v;b=2', 'v'],
    ['tenant=', ''],
    ['tenant="v"', '"v"'],
    ['tenant=a=b', 'a=b'],
    ['tenant=eyJh.b-c_d/e+f==', 'eyJh.b-c_d/e+f=='],
    ['tenant=%7B%22a%22%3A1%7D', '%7B%22a%22%3A1%7D'],
    ['a%20b=1; a+b=2; tenant_id=3; my.tenant=4; tenant=v', 'v'],
    ['a=1; b=2', null],
    ['', null],
  ])('is read from: %s', (line, value) => {
    expect(read(line)).toBe(value);
  });

  it('is not searched for in a field without its name', () => {
    expect(read('prefs={"a": "b, c"}; x')).toBe(null);
  });
});

describe('a Cookie field that origins may read differently', () => {
  it.each([
    ['a quote that holds a separator', 'x="; tenant=v; "'],
    ['a comma', 'a=b, tenant=evil'],
    ['a comma in the value', 'tenant=a,b'],
    ['the name twice', 'tenant=a; tenant=b'],
    ['the name in another case', 'tenant=a; Tenant=b'],
    ['the name in another case alone', 'TENANT=b'],
    ['an encoded name', 'tenant=a; ten%61nt=b'],
    ['an array of PHP', 'tenant[]=b'],
    ['an encoded space before the name', '%20tenant=b'],
    ['an encoded tab before the name', 'tenant=a; %09tenant=b'],
    ['a plus sign before the name', '+tenant=b'],
    ['an encoded NUL in the name', 'tenant%00x=b'],
    ['a space before the equals sign', 'tenant =b'],
    ['a space after the equals sign', 'tenant= b'],
    ['a space after the value', 'tenant=b ; a=1'],
    ['a space within the value', 'tenant=a b'],
    ['a tab', 'a=1;\ttenant=v'],
    ['$Version', '$Version=1; tenant=v'],
    ['a pair without a name', '=x; tenant=v'],
    ['a pair without a value', 'x; tenant=v'],
    ['an empty pair', 'a=1;; tenant=v'],
    ["an attribute's name", 'tenant=v; path=/'],
    ['a name that is not a token', 'a(b)=1; tenant=v'],
    ['a backslash', 'a=\\073; tenant=v'],
    ['a byte beyond ASCII', 'a=\u00a0; tenant=v'],
    ['a name within a quoted value', 'a="x; tenant=v"'],
    ['more cookies than servers read', `${'a=1; '.repeat(180)}tenant=v`],
  ])('is ambiguous with %s', (_, line) => {
    expect(read(line)).toBe('ambiguous');
  });

  it('is ambiguous when it is one of several', () => {
    expect(read('a=1', 'tenant=v')).toBe('ambiguous');
  });
});

describe('several Cookie fields', () => {
  it('are joined into one, as a server joins them', () => {
    const fields = ['A', '1', 'cookie', 'a=1', 'B', '2', 'Cookie', 'b=2'];
    expect(withOneCookie(fields)).toEqual(['A', '1', 'cookie', 'a=1; b=2', 'B', '2']);
    const one = ['Cookie', 'a=1'];
    expect(withOneCookie(one)).toBe(one);
  });
});

describe('a request bypasses the cache or not', () => {
  const rules = (bypass: { cookies?: string[]; headers?: string[] }, cookies: string[] = []) =>
    policy({
      bypass: { cookies: [], headers: [], ...bypass },
      key: { query: 'all', headers: [], cookies },
    });

  it.each([
    ['has a listed cookie', ['Cookie', 'a=1; session=x'], 'bypass-cookie'],
    ['has an empty listed cookie', ['Cookie', 'session='], 'bypass-cookie'],
    ['may have a listed cookie', ['Cookie', 'a="; session=x'], 'ambiguous-cookies'],
    ['may have a listed cookie by a decoded name', ['Cookie', '+session=x'], 'ambiguous-cookies'],
    ['may have a listed cookie in another case', ['Cookie', 'SESSION=x'], 'ambiguous-cookies'],
    ['has other cookies', ['Cookie', 'a=1; b="'], null],
    ['has no cookie', [], null],
    ['has a listed field', ['X-User', '1'], 'bypass-header'],
    ['has a field that an origin reads as a listed one', ['X_User', '1'], 'bypass-header'],
    ['removes a listed field by Connection', ['X-User', '1', 'Connection', 'X-User'], 'connection'],
  ])('when it %s', (_, fields, reason) => {
    expect(decideBypass(fields, rules({ cookies: ['session'], headers: ['x-user'] }))).toBe(reason);
  });

  it('when its Cookie is ambiguous, only where a cookie is in the key', () => {
    expect(decideBypass(['Cookie', 'a=b, tenant=evil'], rules({}, ['tenant']))).toBe('ambiguous-cookies');
    expect(decideBypass(['Cookie', 'a=b, tenant=evil'], rules({}))).toBe(null);
  });
});
