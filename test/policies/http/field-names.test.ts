import { describe, expect, it } from 'vitest';
import { decideFieldNames, hasFieldLike, nameForm } from '../../../policies/http/field-names.ts';
import { originFields } from '../../../policies/http/forwarding.ts';

describe('fields that a request is considered to have', () => {
  const SENT = ['Host', 'a', 'X_Forwarded_Host', 'evil', 'X-Kept', '1', 'X.Tenant', 'b', '_', 'c'];

  it('are, with drop, only those named by letters, digits and hyphens; others are counted', () => {
    expect(decideFieldNames(SENT, 'drop')).toEqual({ fields: ['Host', 'a', 'X-Kept', '1'], dropped: 3 });
    const plain = ['Host', 'a', 'DNT', '1'];
    expect(decideFieldNames(plain, 'drop')).toEqual({ fields: plain, dropped: 0 });
    expect(decideFieldNames(plain, 'drop').fields).toBe(plain);
  });

  it('are all of its fields with keep', () => {
    expect(decideFieldNames(SENT, 'keep')).toEqual({ fields: SENT, dropped: 0 });
  });

  it('are compared by names as an origin may read them', () => {
    expect(nameForm('X_Forwarded.Host')).toBe('x-forwarded-host');
    expect(nameForm('ETag')).toBe('etag');
    expect(hasFieldLike(['X_User', '1'], 'x-user')).toBe(true);
    expect(hasFieldLike(['X-Users', '1'], 'x-user')).toBe(false);
  });
});

describe("proxies' fields that are sent to the origin", () => {
  const TOLD = [
    'X-Real-IP',
    '10.0.0.1',
    'X-Forwarded-User',
    'root',
    'X-Forwarded-Port',
    '444',
    'X-Host',
    'evil',
  ];
  const OWN = ['X-Original-URL', '/admin', 'X-Middleware-Subrequest', '1', 'Proxy', 'evil'];
  const sent = (trusted: boolean, hostHeader: 'origin' | 'client', keyed: string[] = []) => {
    const fields = originFields({
      fields: [...TOLD, ...OWN, 'X-HTTP-Method-Override', 'DELETE'],
      version: '1.1',
      trusted,
      remoteAddress: '192.0.2.1',
      scheme: 'http',
      authority: 'shop.example',
      hostHeader,
      keyed,
    });
    return fields.filter((name, i) => i % 2 === 0 && (TOLD.includes(name) || OWN.includes(name)));
  };

  it('are none from untrusted peers, whether or not the response may be stored', () => {
    expect(sent(false, 'origin')).toEqual([]);
    expect(sent(false, 'client')).toEqual([]);
  });

  it('are those from trusted proxies, without host and scheme where the origin does not see them', () => {
    expect(sent(true, 'client')).toEqual(['X-Real-IP', 'X-Forwarded-User', 'X-Forwarded-Port', 'X-Host']);
    expect(sent(true, 'origin')).toEqual(['X-Real-IP', 'X-Forwarded-User']);
  });

  it("include those in the route's key", () => {
    expect(sent(false, 'origin', ['x-real-ip', 'x-original-url'])).toEqual(['X-Real-IP', 'X-Original-URL']);
  });
});
