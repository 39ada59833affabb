/** Set: outages last as long as the system is made for, and the suite takes minutes more. */
export const isLong = (process.env['MUSTER_TEST_LONG'] ?? '') !== '';
