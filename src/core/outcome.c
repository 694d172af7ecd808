/* SPDX-License-Identifier: Apache-2.0 */
#include "core/outcome.h"

static const char *const names[NNS_OUTCOME_COUNT] = {
    [NNS_OUTCOME_NONE] = "none",         [NNS_OUTCOME_NEW] = "new",
    [NNS_OUTCOME_KNOWN] = "known",       [NNS_OUTCOME_GONE] = "gone",
    [NNS_OUTCOME_DENIED] = "denied",     [NNS_OUTCOME_DISABLED] = "disabled",
    [NNS_OUTCOME_EXCLUDED] = "excluded", [NNS_OUTCOME_REFUSED] = "refused",
    [NNS_OUTCOME_ERROR] = "error",
};

const char *nns_outcome_name(enum nns_outcome outcome)
{
    return outcome < NNS_OUTCOME_COUNT ? names[outcome] : "invalid";
}
