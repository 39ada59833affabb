/** Posts JSON to workers that speak HTTP only. */
export interface HttpCaller {
  /** The answer, whatever its status; its text is cut after 4 KiB. @throws MusterError `timeout`, `no-responders` */
  post(url: string, body: unknown, timeoutMs: number): Promise<{ readonly status: number; readonly text: string }>;
}
