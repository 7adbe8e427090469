import { PassThrough, type Readable } from 'node:stream';

export type ReadBody =
  | { readonly kind: 'whole'; readonly body: Uint8Array<ArrayBuffer> | null }
  /** What was read so far, and the rest behind it: more than a write may have, or than there is room for now. */
  | { readonly kind: 'too-large' | 'no-room'; readonly whole: Readable }
  /** The client has gone. */
  | { readonly kind: 'cut' };

export function asStream(body: Uint8Array | null): Readable | null {
  if (body === null) return null;
  const stream = new PassThrough();
  stream.end(body);
  return stream;
}

/**
 * All of the content, where it is no larger than the limit and there is room for it; else what came and all that follows,
 * as one stream.
 */
export function readBody(
  source: Readable | null,
  limitBytes: number,
  take: (bytes: number) => boolean,
): Promise<ReadBody> {
  if (source === null) return Promise.resolve({ kind: 'whole', body: null });
  const chunks: Buffer[] = [];
  let bytes = 0;
  return new Promise((resolve) => {
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      bytes += chunk.length;
      const hasRoom = take(chunk.length);
      if (hasRoom && bytes <= limitBytes) return;
      stop();
      source.pause();
      resolve({ kind: hasRoom ? 'too-large' : 'no-room', whole: behind(chunks, source) });
    };
    const onEnd = (): void => {
      stop();
      const body = new Uint8Array(bytes);
      let at = 0;
      for (const chunk of chunks) {
        body.set(chunk, at);
        at += chunk.length;
      }
      resolve({ kind: 'whole', body });
    };
    const onClose = (): void => {
      stop();
      resolve({ kind: 'cut' });
    };
    const stop = (): void => {
      source.off('data', onData).off('end', onEnd).off('close', onClose);
    };
    source.on('data', onData).on('end', onEnd).on('close', onClose);
  });
}

/** What was read, then the rest. A source that breaks off breaks it off, too. */
function behind(chunks: readonly Buffer[], source: Readable): Readable {
  const whole = new PassThrough();
  whole.on('error', () => source.destroy());
  whole.on('close', () => source.destroy());
  for (const chunk of chunks) whole.write(chunk);
  source.on('close', () => {
    if (!source.readableEnded) whole.destroy(new Error('the client left before it had sent its content'));
  });
  source.pipe(whole);
  return whole;
}
