import type { OriginConfig, RouteConfig } from '../../policies/config/config.ts';
import type { Fields } from '../../policies/http/fields.ts';
import type { RequestView } from '../../policies/model.ts';
import type { ReceivedResponse } from '../../policies/rfc9111/storing.ts';
import { groupSite } from '../../policies/tags.ts';
import { wallMs, type Clock } from '../threads/clock.ts';

/** What a response that has just come answers. */
export interface AnsweredRequest {
  /** As decisions on storing see it. */
  readonly request: RequestView;
  readonly requestTimeMs: number;
  /** Effective, of the client's request. */
  readonly authority: string;
  readonly route: { readonly config: RouteConfig; readonly originConfig: OriginConfig };
}

/** A response whose head has come now, as the rules of storing, validation and learning read it. */
export function receivedResponse(
  clock: Clock,
  { request, requestTimeMs, authority, route }: AnsweredRequest,
  status: number,
  fields: Fields,
): ReceivedResponse {
  return {
    request,
    status,
    fields,
    requestTimeMs,
    responseTimeMs: clock.nowMs(),
    receiptMs: wallMs(clock),
    policy: route.config.cache,
    authority: groupSite(route.originConfig, authority),
  };
}
