import type { OriginReports } from './failure-reports.ts';

/** A worker's calls to the coordinator's record of origins. */
export type OriginReportCalls = {
  /** Reports that origins fail or have recovered. */
  originReports(reports: OriginReports): void;
};
