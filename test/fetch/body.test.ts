import { describe, expect, it } from 'vitest';
import { FlightBody, type BodyOptions } from '../../proxy/store/body.ts';
import { fc } from '../support/properties.ts';

function bodyWith(options: Partial<BodyOptions> = {}): { body: FlightBody; calls: string[] } {
  const calls: string[] = [];
  const body = new FlightBody({
    windowBytes: 10,
    keepsAll: false,
    isStored: false,
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    onDeserted: () => calls.push('deserted'),
    ...options,
  });
  return { body, calls };
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe('the body of a flight', () => {
  it('gives every reader all bytes in order, wherever the reader began', () => {
    const { body } = bodyWith({ keepsAll: true });
    const early = body.reader(0, () => {});
    body.append(bytes('abc'));
    const late = body.reader(0, () => {});
    body.append(bytes('def'));
    body.end([]);
    for (const reader of [early, late]) {
      let text = '';
      for (let piece = reader.next(); piece.kind === 'bytes'; piece = reader.next()) {
        text += Buffer.from(piece.bytes).toString();
        reader.advance(piece.bytes.byteLength);
      }
      expect(text).toBe('abcdef');
      expect(reader.next()).toEqual({ kind: 'end', trailers: [] });
    }
  });

  it('pauses the source while the slowest reader is a window behind, and no longer', () => {
    const { body, calls } = bodyWith();
    const slow = body.reader(0, () => {});
    body.append(bytes('0123456789'));
    expect(calls).toEqual([]);
    body.append(bytes('x'));
    expect(calls).toEqual(['pause']);
    slow.advance(10);
    expect(calls).toEqual(['pause', 'resume']);
  });

  it('does not pause the source for a slow reader where the bytes are stored', () => {
    const { body, calls } = bodyWith({ isStored: true });
    const slow = body.reader(0, () => {});
    body.append(bytes('0123456789'));
    body.storedUpTo(10);
    body.append(bytes('abcdefghij'));
    body.storedUpTo(20);
    expect(calls).toEqual([]);
    expect(slow.next()).toEqual({ kind: 'stored' });
  });

  it('pauses the source while more than the window is waiting to be stored', () => {
    const { body, calls } = bodyWith({ isStored: true, keepsAll: true });
    body.append(bytes('0123456789ab'));
    expect(calls).toEqual(['pause']);
    body.storedUpTo(5);
    expect(calls).toEqual(['pause', 'resume']);
  });

  it('reports to all readers that it is incomplete, and never that it is whole', () => {
    const { body } = bodyWith();
    const reader = body.reader(0, () => {});
    body.append(bytes('ab'));
    body.fail();
    body.end([]);
    reader.advance(2);
    expect(reader.next()).toEqual({ kind: 'cut' });
  });

  it('ends the source when the last reader leaves and no tier stores it', () => {
    const { body, calls } = bodyWith();
    const [a, b] = [body.reader(0, () => {}), body.reader(0, () => {})];
    a.close();
    expect(calls).toEqual([]);
    b.close();
    expect(calls).toEqual(['deserted']);
    const kept = bodyWith({ keepsAll: true });
    kept.body.reader(0, () => {}).close();
    expect(kept.calls).toEqual([]);
  });

  it('can be read from its beginning only while the beginning is held or stored', () => {
    const { body } = bodyWith();
    const reader = body.reader(0, () => {});
    expect(body.reachesBack).toBe(true);
    body.append(bytes('0123456789'));
    body.append(bytes('abcdefghij'));
    reader.advance(20);
    expect(body.reachesBack).toBe(false);
    body.storedUpTo(20);
    expect(body.reachesBack).toBe(true);
    body.stopStoring();
    expect(body.reachesBack).toBe(false);
  });

  it('loses and adds no bytes, however it is written, stored and read', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('append' as const), size: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant('store' as const), size: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant('read' as const), who: fc.integer({ min: 0, max: 2 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.boolean(), (steps, keepsAll) => {
        const { body } = bodyWith({ isStored: true, keepsAll });
        const readers = [0, 1, 2].map(() => body.reader(0, () => {}));
        const seen = ['', '', ''];
        let written = '';
        let stored = 0;
        const read = (who: number): boolean => {
          const reader = readers[who]!;
          const piece = reader.next();
          if (piece.kind === 'stored') {
            // The stored bytes from this position, as the disk would give them.
            expect(reader.position).toBeLessThan(stored);
            seen[who] += written.slice(reader.position, stored);
            reader.advance(stored - reader.position);
          } else if (piece.kind === 'bytes') {
            seen[who] += Buffer.from(piece.bytes).toString();
            reader.advance(piece.bytes.byteLength);
          } else return false;
          return true;
        };
        for (const each of steps) {
          if (each.do === 'append') {
            const text = String.fromCharCode(97 + (written.length % 26)).repeat(each.size);
            written += text;
            body.append(bytes(text));
          } else if (each.do === 'store') {
            stored = Math.min(written.length, stored + each.size);
            body.storedUpTo(stored);
          } else read(each.who);
        }
        body.end([]);
        for (const who of [0, 1, 2]) {
          while (read(who));
          expect(seen[who]).toBe(written);
        }
        if (keepsAll) expect(Buffer.from(body.whole()!).toString()).toBe(written);
      }),
    );
  });
});
