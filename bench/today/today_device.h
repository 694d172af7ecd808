/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TODAY_DEVICE_H
#define TODAY_DEVICE_H

#include <stdint.h>

/* One device's part of the ways in today.h. 0 or -errno. */

/* In the present namespace, by libbpf. */
int today_device_libbpf(uint32_t ifindex, const int programs[2]);

/* In the socket's namespace, three requests and three acknowledgements. */
int today_device_socket(int socket, uint32_t ifindex, const int programs[2]);

#endif
