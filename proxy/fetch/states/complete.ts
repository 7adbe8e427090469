import { combinedMeta, completionFields } from '../../../policies/rfc9111/parts.ts';
import { decideStoring } from '../../../policies/rfc9111/storing.ts';
import type { FetchContext } from '../fetch-context.ts';
import type { FetchState, NextFetchState } from '../machine.ts';
import { deliverStored } from './storable.ts';

/**
 * RFC 9111 §3.4: combines the stored part with the received rest. If they don't make the whole content, the request is sent
 * again for all of it.
 */
export function complete(
  fetch: FetchContext,
  { asked, status, fields }: FetchState & { readonly at: 'complete' },
): NextFetchState<'complete'> {
  const { meta, content } = asked.incomplete!;
  const decision = decideStoring(fetch.received(status, fields, completionFields(meta) ?? []));
  const whole = decision.kind === 'store' ? combinedMeta(decision.meta, meta) : null;
  if (whole === null || whole.part !== null) return { at: 'retry', asked };
  const lesson = fetch.lesson(asked, status, fields, { kind: 'store', meta: whole }, true);
  const writer = fetch.beginWriter(whole, meta.part?.completeBytes ?? -1, fields, lesson);
  if (writer === null) return { at: 'retry', asked };
  const comesFirst = meta.part?.first === 0;
  const fetched = fetch.newContent(writer, comesFirst ? content : null, comesFirst ? null : content);
  return deliverStored(fetch, asked, status, fields, fetched, writer);
}
