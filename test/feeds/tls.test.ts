import { describe, expect, it } from 'vitest';
import { natsFeed } from '../../origin-adapters/feeds/nats.ts';
import { redisStreamFeed } from '../../origin-adapters/feeds/redis-stream.ts';
import { isTlsFailure, readTls } from '../../origin-adapters/feeds/tls.ts';
import { configOf, errorsOf } from '../config/load.ts';

const feedTypes = { nats: natsFeed, 'redis-stream': redisStreamFeed };

describe("a feed's TLS", () => {
  it('resolves files from the configuration file, and secrets from the environment', () => {
    const config = configOf(
      `
      origins: { shop: { url: "http://shop.example" } }
      feeds:
        changes:
          type: redis-stream
          url: rediss://redis.example
          stream: changes
          password: "\${REDIS_PASSWORD}"
          tls: { ca: tls/ca.pem, cert: /tls/cert.pem, key: key.pem, server-name: redis.internal }
      `,
      { feedTypes, env: { REDIS_PASSWORD: 'secret' } },
    );
    expect(config.feeds['changes']!.options).toEqual({
      url: 'rediss://redis.example',
      stream: 'changes',
      field: 'data',
      password: 'secret',
      tls: {
        ca: '/etc/weir/tls/ca.pem',
        cert: '/tls/cert.pem',
        key: '/etc/weir/key.pem',
        'server-name': 'redis.internal',
      },
    });
  });

  it('reports wrong keys at the start', () => {
    const errors = errorsOf(
      `
      origins: { shop: { url: "http://shop.example" } }
      feeds:
        changes: { type: nats, servers: "nats://a.example", stream: S, tls: { cert: c.pem, file: x } }
      `,
      { feedTypes },
    );
    expect(errors.join('\n')).toContain('feeds.changes.tls');
  });

  it("names the file that it can't read", async () => {
    expect(await readTls({ ca: '/nowhere/ca.pem' })).toMatchObject({
      kind: 'failed',
      failure: { kind: 'refused', message: expect.stringContaining("tls.ca can't be read") as string },
    });
    expect(await readTls({ 'server-name': 'a.example' })).toEqual({
      kind: 'read',
      material: { servername: 'a.example' },
    });
  });

  it('distinguishes distrust from a lost connection', () => {
    const withCode = (code: string): Error => Object.assign(new Error(code), { code });
    for (const code of ['DEPTH_ZERO_SELF_SIGNED_CERT', 'ERR_TLS_CERT_ALTNAME_INVALID', 'CERT_HAS_EXPIRED']) {
      expect(isTlsFailure(withCode(code))).toBe(true);
    }
    expect(isTlsFailure(withCode('UNABLE_TO_VERIFY_LEAF_SIGNATURE'))).toBe(true);
    expect(isTlsFailure(withCode('ECONNRESET'))).toBe(false);
    expect(isTlsFailure(new Error('closed'))).toBe(false);
  });
});
