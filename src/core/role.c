/* SPDX-License-Identifier: Apache-2.0 */
#include "core/role.h"

struct nns_role nns_owner_role;
