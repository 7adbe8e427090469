// Sums up a test run: the checks that failed count as failed tests, and so does a test that was skipped.
import { readFileSync } from 'node:fs';

const [file, status, failedChecks] = process.argv.slice(2);
let report = { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0, testResults: [] };
try {
  report = JSON.parse(readFileSync(file, 'utf8'));
} catch (error) {
  console.log(`no report of the tests: ${error.message}`);
}
const skipped = report.testResults.flatMap(({ assertionResults }) =>
  assertionResults.filter((test) => test.status === 'pending' || test.status === 'skipped'),
);
for (const { fullName } of skipped) console.log(`skipped: ${fullName}`);
const brokenFiles = report.testResults.filter(
  (result) => result.status === 'failed' && result.assertionResults.every((test) => test.status !== 'failed'),
);
for (const { name, message } of brokenFiles) console.log(`broken: ${name}: ${message}`);
let failed = report.numFailedTests + skipped.length + brokenFiles.length + Number(failedChecks);
if (failed === 0 && Number(status) !== 0) {
  console.log(`the test run ended with ${status}`);
  failed = 1;
}
console.log(`${report.numPassedTests} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
