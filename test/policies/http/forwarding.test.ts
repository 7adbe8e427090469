import { describe, expect, it } from 'vitest';
import { fieldValue, fieldValues, hasField } from '../../../policies/http/fields.ts';
import type { Fields } from '../../../policies/http/fields.ts';
import {
  clientSite,
  decideMaxForwards,
  endToEnd,
  hasForwardingConflict,
  isLooping,
  originFields,
} from '../../../policies/http/forwarding.ts';
import type { ClientView } from '../../../policies/http/forwarding.ts';

function client(fields: Fields, changes: Partial<ClientView> = {}): ClientView {
  return {
    fields,
    version: '1.1',
    trusted: false,
    remoteAddress: '192.0.2.1',
    scheme: 'http',
    authority: 'shop.example',
    ...changes,
  };
}

function sent(fields: Fields, hostHeader: 'origin' | 'client' = 'client', changes: Partial<ClientView> = {}) {
  const all = originFields({ ...client(fields, changes), hostHeader });
  return (name: string) => fieldValues(all, name).join(' | ');
}

const SPOOFED = [
  'X-Forwarded-For',
  '10.0.0.1',
  'X-Forwarded-Proto',
  'https',
  'X-Forwarded-Host',
  'evil.example',
  'Forwarded',
  'for=10.0.0.1;host=evil.example;proto=https',
];

describe('end-to-end fields', () => {
  it('RFC 9110 §7.6.1: exclude fields of this hop and those that Connection names, in any case', () => {
    const fields = [
      'connection',
      'Foo',
      'CONNECTION',
      'bar , close',
      'foo',
      '1',
      'BAR',
      '2',
      'Baz',
      '3',
      'TE',
      'x',
    ];
    expect(endToEnd(fields)).toEqual(['Baz', '3']);
  });

  it('RFC 9110 §7.6.1: include fields that the message needs, even if Connection names them', () => {
    const fields = ['Connection', 'Authorization, Host', 'Authorization', 'x', 'Host', 'h'];
    expect(endToEnd(fields)).toEqual(['Authorization', 'x', 'Host', 'h']);
  });
});

const extended = (value: string) => sent(['Forwarded', value], 'client', { trusted: true })('forwarded');

describe('forwarding fields about the client', () => {
  it('replace those of an untrusted client', () => {
    const value = sent(SPOOFED);
    expect(value('x-forwarded-for')).toBe('192.0.2.1');
    expect(value('x-forwarded-proto')).toBe('http');
    expect(value('x-forwarded-host')).toBe('shop.example');
    expect(value('forwarded')).toBe('for=192.0.2.1;proto=http;host=shop.example');
    expect(value('host')).toBe('shop.example');
  });

  it('extend those of a trusted proxy', () => {
    const value = sent(
      ['X-Forwarded-For', '203.0.113.9', 'X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'www.example'],
      'client',
      { trusted: true },
    );
    expect(value('x-forwarded-for')).toBe('203.0.113.9, 192.0.2.1');
    expect(value('x-forwarded-proto')).toBe('https');
    expect(value('x-forwarded-host')).toBe('www.example');
    expect(value('host')).toBe('www.example');
  });

  it('RFC 7239: extend Forwarded of a trusted proxy, and drop a malformed one', () => {
    const own = 'for=192.0.2.1;proto=https;host=a.example';
    expect(extended('For="[2001:db8::1]:4711";Proto=https;Host=a.example')).toBe(
      `for="[2001:db8::1]:4711";proto=https;host=a.example, ${own}`,
    );
    expect(extended('for=a, for="b,c";host=a.example;proto=https').split(', ').length).toBe(3);
    expect(extended('for="open')).toBe('for=192.0.2.1;proto=http;host=shop.example');
  });

  it('state neither host nor scheme where they are not in the key', () => {
    for (const trusted of [false, true]) {
      const fields = originFields({
        ...client([...SPOOFED, 'Host', 'shop.example'], { trusted }),
        hostHeader: 'origin',
      });
      for (const name of ['host', 'x-forwarded-host', 'x-forwarded-proto'])
        expect(hasField(fields, name)).toBe(false);
      expect(fields.join('\n')).not.toMatch(/evil|shop\.example|proto/);
      expect(fieldValue(fields, 'forwarded')).toBe(trusted ? 'for=10.0.0.1, for=192.0.2.1' : 'for=192.0.2.1');
    }
  });

  it('have IPv6 in brackets, and IPv4-mapped addresses as IPv4', () => {
    expect(sent([], 'origin', { remoteAddress: '2001:db8::1' })('forwarded')).toBe('for="[2001:db8::1]"');
    expect(sent([], 'origin', { remoteAddress: '::ffff:192.0.2.7' })('x-forwarded-for')).toBe('192.0.2.7');
  });

  it('RFC 9110 §7.6.3: include Via, which is appended to', () => {
    expect(sent([])('via')).toBe('1.1 weir');
    expect(sent(['Via', '1.0 a', 'via', '1.1 b'])('via')).toBe('1.0 a, 1.1 b, 1.1 weir');
    expect(sent(['Via', '1.1 a'], 'client', { version: '1.0' })('via')).toBe('1.1 a, 1.0 weir');
  });

  it('RFC 9110 §10.1.1 and §11.7.1: leave out fields that are meant for Weir', () => {
    const value = sent([
      'Expect',
      '100-continue',
      'Proxy-Authorization',
      'Basic x',
      'TE',
      'trailers',
      'Accept',
      'a',
    ]);
    expect([value('expect'), value('proxy-authorization'), value('te'), value('accept')]).toEqual([
      '',
      '',
      '',
      'a',
    ]);
  });

  it('take scheme and host from trusted proxies only, if well-formed', () => {
    expect(clientSite(client(SPOOFED))).toEqual({ scheme: 'http', authority: 'shop.example' });
    expect(clientSite(client(SPOOFED, { trusted: true }))).toEqual({
      scheme: 'https',
      authority: 'evil.example',
    });
    const odd = ['X-Forwarded-Proto', 'ftp', 'X-Forwarded-Host', 'a b/c'];
    expect(clientSite(client(odd, { trusted: true }))).toEqual({ scheme: 'http', authority: 'shop.example' });
    const several = ['X-Forwarded-Proto', 'HTTPS, http', 'X-Forwarded-Host', 'A.example:444, b.example'];
    expect(clientSite(client(several, { trusted: true }))).toEqual({
      scheme: 'https',
      authority: 'a.example:444',
    });
  });
});

describe('Max-Forwards', () => {
  it.each([
    ['TRACE', '0', { kind: 'answer' }],
    ['OPTIONS', '0', { kind: 'answer' }],
    ['OPTIONS', '5', { kind: 'forward', value: '4' }],
    ['TRACE', '1', { kind: 'forward', value: '0' }],
    ['GET', '0', { kind: 'none' }],
    ['OPTIONS', 'x', { kind: 'none' }],
    ['OPTIONS', '-1', { kind: 'none' }],
  ])('RFC 9110 §7.6.2: is decided for %s with %s', (method, value, expected) => {
    expect(decideMaxForwards(method, ['Max-Forwards', value])).toEqual(expected);
  });

  it('RFC 9110 §7.6.2: sets no limit when the field is absent', () => {
    expect(decideMaxForwards('TRACE', [])).toEqual({ kind: 'none' });
  });
});

describe('Via', () => {
  const through = (times: number, entry = '1.1 weir') => [
    'Via',
    Array.from({ length: times }, () => entry).join(', '),
  ];

  it('RFC 9110 §7.6.3: detects a loop', () => {
    expect(isLooping([])).toBe(false);
    expect(isLooping(through(4))).toBe(false);
    expect(isLooping(through(5))).toBe(true);
    expect(isLooping([...through(3), 'VIA', '2 weir (a comment), HTTP/1.1 weir'])).toBe(true);
  });

  it.each(['1.1 weird', '1.1 other', 'weir', '1.1 other (1.1 weir)'])(
    'RFC 9110 §7.6.3: does not count %s, which is another proxy',
    (entry) => {
      expect(isLooping(through(20, entry))).toBe(false);
    },
  );
});

describe("the two forms of a trusted proxy's fields", () => {
  const conflict = (fields: Fields, changes: Partial<ClientView> = {}) =>
    hasForwardingConflict(client(fields, { trusted: true, ...changes }));
  const X = [
    'X-Forwarded-For',
    '192.0.2.9',
    'X-Forwarded-Proto',
    'https',
    'X-Forwarded-Host',
    'shop.example',
  ];

  it.each([
    ['another host', [...X, 'Forwarded', 'host=evil.example']],
    ['another host in a second spelling', [...X, 'Forwarded', 'for=192.0.2.9;Host="evil.example"']],
    ['another scheme', [...X, 'Forwarded', 'proto=http']],
    ['another client', [...X, 'Forwarded', 'for=10.0.0.1']],
    ['another client of the nearest proxy', [...X, 'Forwarded', 'for=192.0.2.9, for=10.0.0.1']],
    [
      'a host where the other form has none',
      ['X-Forwarded-For', '192.0.2.9', 'Forwarded', 'host=evil.example'],
    ],
    [
      'a host where the standard form has none',
      ['X-Forwarded-Host', 'evil.example', 'Forwarded', 'for=192.0.2.9'],
    ],
  ])('conflict when they have %s', (_, fields) => {
    expect(conflict(fields)).toBe(true);
    expect(conflict(fields, { trusted: false })).toBe(false);
    expect(conflict(fields, { forwarding: 'forwarded' })).toBe(false);
    expect(conflict(fields, { forwarding: 'x-forwarded' })).toBe(false);
  });

  it.each([
    ['the same', [...X, 'Forwarded', 'for=192.0.2.9;proto=https;host=shop.example']],
    [
      'the same in other spellings',
      [...X, 'Forwarded', 'for="192.0.2.9:4711";proto=HTTPS;host="Shop.Example.:443"'],
    ],
    ['an IPv6 address', ['X-Forwarded-For', '2001:DB8::1', 'Forwarded', 'for="[2001:db8::1]:80"']],
    [
      'an IPv6 address in another spelling',
      ['X-Forwarded-For', '2001:db8:0:0::1', 'Forwarded', 'for="[2001:0DB8::1]"'],
    ],
    [
      'an IPv4 address within IPv6',
      ['X-Forwarded-For', '::ffff:192.0.2.9', 'Forwarded', 'for="[::FFFF:c000:209]"'],
    ],
    ['a client that one form hides', [...X, 'Forwarded', 'for=_hidden;host=shop.example']],
    ['only Forwarded', ['Forwarded', 'host=other.example']],
    ['only X-Forwarded-*', X],
    ['a malformed form', [...X, 'Forwarded', 'host="evil']],
  ])('do not conflict when they have %s', (_, fields) => {
    expect(conflict(fields)).toBe(false);
  });

  it('are reduced to the configured form, for the key and for the origin', () => {
    const fields = [...X, 'Forwarded', 'for=10.0.0.1;host=evil.example;proto=http'];
    const by = (forwarding: 'forwarded' | 'x-forwarded') => ({ trusted: true, forwarding });
    expect(clientSite(client(fields, by('x-forwarded')))).toEqual({
      scheme: 'https',
      authority: 'shop.example',
    });
    expect(clientSite(client(fields, by('forwarded')))).toEqual({
      scheme: 'http',
      authority: 'evil.example',
    });
    const sentBy = sent(fields, 'client', by('x-forwarded'));
    expect(sentBy('forwarded')).not.toContain('evil.example');
    expect(sentBy('forwarded')).not.toContain('10.0.0.1');
    expect(sentBy('x-forwarded-for')).toBe('192.0.2.9, 192.0.2.1');
    expect(sent(fields, 'client', by('forwarded'))('x-forwarded-for')).toBe('192.0.2.1');
  });
});
